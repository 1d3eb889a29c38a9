"""nbgrader's gradebook, filled from our results, so that its formgrader shows the same numbers.

The database is nbgrader's own (SQLite, or PostgreSQL by URL); each call here is one transaction.
What a person gave in formgrader (scores, comments, extra credit, flags, extensions) outlives
every update and rebuild. Beside nbgrader's tables we keep one: a digest of the answer that each
grade was last shown with, so that a hand grade is asked for again when the answer has changed.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from alembic.script import ScriptDirectory
from filelock import FileLock
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader import api
from nbgrader.dbutil import ALEMBIC_DIR
from nbgrader.utils import compute_checksum, parse_utc
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy import (
    update as sql_update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from gradedesk.desk import Desk, part
from gradedesk.lab import Cell, Lab, question_of
from gradedesk.names import DeskError, DeskFailure
from gradedesk.results.formgrader import metadata, write_notebook
from gradedesk.results.result import Result

COURSE = "default_course"  # nbgrader's own name for a course that has none
BUSY_SECONDS = 30  # how long to wait for another program's write, such as formgrader's

_SEEN = Table(
    "gradedesk_seen",
    MetaData(),
    Column("grade_id", String(32), primary_key=True),
    Column("digest", String(64), nullable=False),
)


class GradebookError(DeskError):
    """The gradebook cannot be used; the message says why and what to do."""


class GradebookFailure(GradebookError, DeskFailure):
    """The database refused: it is locked, damaged, read-only, or not there."""


@dataclass
class Hand:
    """What people gave in formgrader, by (student, lab, grade_id).

    `scores`: settled scores of hand-graded answers (a blank answer counts 0) and of tests whose
    score was overridden, extra credit included. `comments`: on an answer. `open`: what still
    waits for a person.
    """

    scores: dict[tuple[str, str, str], float] = field(default_factory=dict)
    comments: dict[tuple[str, str, str], str] = field(default_factory=dict)
    open: set[tuple[str, str, str]] = field(default_factory=set)


@dataclass
class _Kept:
    """What people gave to one submission; grades and comments by grade_id."""

    flagged: bool = False
    extension: timedelta | None = None
    penalty: float | None = None
    grades: dict[str, tuple[float | None, float | None, bool, str]] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)

    @property
    def by_hand(self) -> bool:
        given = any(score is not None or extra for score, extra, _, _ in self.grades.values())
        return given or bool(self.comments) or self.flagged or self.extension is not None


def update(
    db_url: str, labs: Lab | Iterable[Lab], results: Iterable[Result], desk: Desk | None = None
) -> None:
    """Put labs and the newest result of each submission into the gradebook, in one transaction.

    With `desk`, also write the notebooks that formgrader shows. GradebookError if it cannot.
    """
    labs = [labs] if isinstance(labs, Lab) else list(labs)
    newest = _newest(results)
    unknown = {lab for _, lab in newest} - {lab.name for lab in labs}
    if unknown:
        raise GradebookError(f"There are results of {min(unknown)}, which is no lab here.")
    _save(db_url, labs, newest, desk, everything=False)


def rebuild(
    db_url: str, labs: Lab | Iterable[Lab], results: Iterable[Result], desk: Desk | None = None
) -> None:
    """Make the labs' part of the gradebook anew from the journal, whatever stood there.

    What people gave in formgrader is kept, also for submissions that the journal has lost.
    """
    labs = [labs] if isinstance(labs, Lab) else list(labs)
    names = {lab.name for lab in labs}
    newest = {key: result for key, result in _newest(results).items() if key[1] in names}
    _save(db_url, labs, newest, desk, everything=True)


def manual_scores(db_url: str) -> dict[tuple[str, str, str], float]:
    """The scores that people gave, by (student, lab, grade_id): `hand(db_url).scores`."""
    return hand(db_url).scores


def hand(db_url: str) -> Hand:
    """What people gave in formgrader. Empty if there is no gradebook yet."""
    found = Hand()
    target = _parse(db_url)
    if _sqlite(target) and not Path(target.database).exists():
        return found
    with _connect(target, writing=False) as connection:
        if not inspect(connection).has_table("grade"):
            return found
        who = (api.SubmittedAssignment.student_id, api.Assignment.name, api.BaseCell.name)
        grade = api.Grade
        rows = select(
            *who,
            grade.score,
            grade.manual_score,
            grade.auto_score,
            grade.extra_credit,
            grade.needs_manual_grade,
            grade.cell_type,
        )
        for *key, score, manual, auto, extra, needs, kind in connection.execute(
            _joined(rows, grade)
        ):
            if manual is not None or (auto is not None and (extra or kind == "markdown")):
                found.scores[tuple(key)] = score
            if needs:
                found.open.add(tuple(key))
        for *key, comment in connection.execute(
            _joined(select(*who, api.Comment.comment), api.Comment)
        ):
            if comment:
                found.comments[tuple(key)] = comment
    return found


# --- the database ---


def _parse(db_url: str) -> URL:
    """The URL with safe settings: waiting for locks in SQLite, psycopg 3 for PostgreSQL."""
    try:
        target = make_url(db_url)
    except ArgumentError:
        raise GradebookError(
            "The gradebook's address is not a database URL: write sqlite:///grading/gradebook.db "
            "or postgresql+psycopg://user@host/database."
        ) from None
    if _sqlite(target):
        if target.database in (None, "", ":memory:"):
            raise GradebookError("The gradebook needs a file: sqlite:///grading/gradebook.db.")
        return target.update_query_dict({"timeout": str(BUSY_SECONDS)})
    if target.drivername in ("postgresql", "postgres"):
        return target.set(drivername="postgresql+psycopg")
    return target


def _sqlite(target: URL) -> bool:
    return target.get_backend_name() == "sqlite"


def _engine(target: URL, writing: bool) -> Engine:
    if not _sqlite(target):
        return create_engine(target)
    file = Path(target.database)
    if not writing and not os.access(file.parent, os.W_OK) and not Path(f"{file}-wal").exists():
        # Of a database that nobody here can write and nobody has open, SQLite needs no lock,
        # for which it would make a file beside it.
        query = {"mode": "ro", "immutable": "1", "uri": "true"}
        target = target.set(database=f"file:{quote(str(file))}").update_query_dict(query)
    engine = create_engine(target)

    @event.listens_for(engine, "connect")
    def safe(connection, _):
        connection.isolation_level = None  # transactions begin where we say so, below
        if writing:
            # SQLite does not wait for its lock when it changes the mode: two first writers must
            # take turns. The mode stays with the file.
            with FileLock(f"{target.database}.lock"):
                connection.execute("PRAGMA journal_mode=WAL")
        for setting in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def begin(connection):
        # A write lock from the start: nobody grades between our reading and our writing.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


@contextmanager
def _connect(target: URL, writing: bool) -> Iterator[Connection]:
    """One transaction. A fault of the database becomes one line."""
    name = target.database if _sqlite(target) else target.set(query={}).render_as_string()
    engine = None
    try:
        if writing and _sqlite(target):
            file = Path(target.database)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(0o600)  # names and grades
        engine = _engine(target, writing)
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, NoSuchModuleError, ModuleNotFoundError, OSError) as error:
        said = getattr(error, "strerror", None) or getattr(error, "orig", None) or error
        said = str(said).strip().splitlines()[0]
        raise GradebookFailure(
            f"The gradebook {name} cannot be used: {said}. Nothing in it was changed; mend that "
            "and run the command again."
        ) from None
    finally:
        if engine is not None:
            engine.dispose()


def _prepare(connection: Connection) -> None:
    """nbgrader's tables, marked with its schema version, and ours; others' writes wait."""
    postgres = connection.dialect.name == "postgresql"
    if postgres:
        connection.execute(text("SELECT pg_advisory_xact_lock(6779492)"))  # two first updates
    head = ScriptDirectory(ALEMBIC_DIR).get_current_head()
    fresh = not inspect(connection).has_table("grade")
    api.Base.metadata.create_all(connection)
    _SEEN.metadata.create_all(connection)
    if fresh:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version != head:
        raise GradebookError(
            f"The gradebook was made by another version of nbgrader (schema {version}, here "
            f"{head}): run `nbgrader db upgrade` on it."
        )
    if postgres:
        connection.execute(text("LOCK TABLE grade, comment IN SHARE ROW EXCLUSIVE MODE"))


def _id(*names: str) -> str:
    """A row's id, the same at every rebuild, so that formgrader's addresses stay."""
    return uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(names)).hex


def _joined(rows, item):
    """`rows` of Grade or Comment with their cell, submission and assignment."""
    return (
        rows.select_from(item)
        .join(api.BaseCell, api.BaseCell.id == item.cell_id)
        .join(api.SubmittedNotebook, api.SubmittedNotebook.id == item.notebook_id)
        .join(
            api.SubmittedAssignment,
            api.SubmittedAssignment.id == api.SubmittedNotebook.assignment_id,
        )
        .join(api.Assignment, api.Assignment.id == api.SubmittedAssignment.assignment_id)
    )


def _newest(results: Iterable[Result]) -> dict[tuple[str, str], Result]:
    return {(result.student, result.lab): result for result in results}


def _save(db_url, labs, newest, desk, everything: bool) -> None:
    for student, _ in newest:
        part(student)
        if len(student) > 128:
            raise GradebookError(f"The name {student[:20]}... has more than 128 characters.")
    by_name = {lab.name: lab for lab in labs}
    target = _parse(db_url)
    if desk is not None:
        for (_, name), result in newest.items():
            write_notebook(desk, by_name[name], result)
    with _connect(target, writing=True) as connection:
        _prepare(connection)
        _add_students(connection, {student for student, _ in newest})
        for lab in labs:
            of_lab = {student: r for (student, name), r in newest.items() if name == lab.name}
            students = None if everything else set(of_lab)
            cells = _save_lab(connection, lab)
            kept = _load_kept(connection, lab.name, students)
            _drop_submissions(connection, lab.name, students)
            _add_submissions(connection, lab, cells, of_lab, kept)


def _add_students(connection: Connection, names: set[str]) -> None:
    there = set(connection.execute(select(api.Student.id)).scalars())
    new = [{"id": name} for name in sorted(names - there)]
    if new:
        connection.execute(insert(api.Student), new)


# --- a lab ---


def _save_lab(connection: Connection, lab: Lab) -> dict[tuple[str, str], str]:
    """Write the lab's assignment, notebook and cells; the cells' ids by (type, grade_id)."""
    assignment = connection.execute(
        select(api.Assignment.id).where(api.Assignment.name == lab.name)
    ).scalar()
    if assignment is None:
        assignment = _id("assignment", lab.name)
        if not connection.execute(select(api.Course.id).where(api.Course.id == COURSE)).scalar():
            connection.execute(insert(api.Course), [{"id": COURSE}])
        row = {"id": assignment, "name": lab.name, "course_id": COURSE}
        connection.execute(insert(api.Assignment), [row])
    notebook = connection.execute(
        select(api.Notebook.id).where(
            api.Notebook.assignment_id == assignment, api.Notebook.name == lab.name
        )
    ).scalar()
    if notebook is None:
        notebook = _id("notebook", lab.name)
        kernel = json.dumps({"name": "python3", "display_name": "Python 3", "language": "python"})
        row = {"id": notebook, "name": lab.name, "assignment_id": assignment, "kernelspec": kernel}
        connection.execute(insert(api.Notebook), [row])

    base, grade, solution = (m.__table__ for m in (api.BaseCell, api.GradeCell, api.SolutionCell))
    wanted = {("GradeCell", cell.grade_id): cell for cell in lab.tests + lab.manual}
    wanted |= {("SolutionCell", cell.grade_id): cell for cell in lab.answers + lab.manual}
    there = {
        (kind, name): id_
        for id_, kind, name in connection.execute(
            select(base.c.id, base.c.type, base.c.name).where(base.c.notebook_id == notebook)
        )
    }
    for key in sorted(there.keys() - wanted.keys()):
        _remove_cell(connection, lab, key, there.pop(key))
    for key, cell in wanted.items():
        if key not in there:
            there[key] = _id("cell", lab.name, *key)
            row = {"id": there[key], "type": key[0], "name": cell.grade_id, "notebook_id": notebook}
            connection.execute(insert(base), [row])
            if key[0] == "SolutionCell":
                connection.execute(insert(solution), [{"id": there[key]}])
            else:
                row = {"id": there[key], "max_score": cell.points, "cell_type": cell.cell_type}
                connection.execute(insert(grade), [row])
        elif key[0] == "GradeCell":
            connection.execute(
                sql_update(grade)
                .where(grade.c.id == there[key])
                .values(max_score=cell.points, cell_type=cell.cell_type)
            )
    source = api.SourceCell
    connection.execute(delete(source).where(source.notebook_id == notebook))
    rows = [_source_row(lab, cell) | {"notebook_id": notebook} for cell in lab if cell.grade_id]
    connection.execute(insert(source), rows)
    return there | {("Notebook", ""): notebook, ("Assignment", ""): assignment}


def _source_row(lab: Lab, cell: Cell) -> dict:
    # As nbgrader keeps it: solutions taken out, hidden tests still in.
    new = new_code_cell if cell.cell_type == "code" else new_markdown_cell
    written = cell.source if cell.kind == "test" else cell.release
    mark = metadata(cell)
    return {
        "id": _id("source", lab.name, cell.grade_id),
        "name": cell.grade_id,
        "cell_type": cell.cell_type,
        "locked": mark["locked"],
        "source": written,
        "checksum": compute_checksum(new(written, metadata={"nbgrader": mark})),
    }


def _remove_cell(connection: Connection, lab: Lab, key: tuple[str, str], cell_id: str) -> None:
    """Drop a cell that the lab no longer has, unless a person's work hangs on it."""
    kind, name = key
    grade, comment = api.Grade, api.Comment
    by_hand = (
        connection.execute(
            select(grade.id).where(grade.cell_id == cell_id, grade.manual_score.is_not(None))
        ).all()
        + connection.execute(
            select(comment.id).where(
                comment.cell_id == cell_id, comment.manual_comment.is_not(None)
            )
        ).all()
    )
    if by_hand:
        raise GradebookError(
            f"{lab.name} no longer has the cell {name}, but {len(by_hand)} grades or comments were "
            "given on it by hand: put the cell back, or clear them in formgrader."
        )
    grades = select(grade.id).where(grade.cell_id == cell_id)
    connection.execute(delete(_SEEN).where(_SEEN.c.grade_id.in_(grades)))
    connection.execute(delete(grade).where(grade.cell_id == cell_id))
    connection.execute(delete(comment).where(comment.cell_id == cell_id))
    for table in (api.GradeCell, api.SolutionCell, api.TaskCell, api.BaseCell):
        connection.execute(delete(table.__table__).where(table.__table__.c.id == cell_id))


# --- submissions ---


def _of(lab: str, students: set[str] | None):
    """The conditions that choose submissions of a lab, of all students or of some."""
    chosen = [api.Assignment.name == lab]
    if students is not None:
        chosen.append(api.SubmittedAssignment.student_id.in_(sorted(students)))
    return chosen


def _load_kept(connection: Connection, lab: str, students: set[str] | None) -> dict[str, _Kept]:
    """What people gave to the submissions of a lab, by student."""
    kept: dict[str, _Kept] = {}
    submission, notebook = api.SubmittedAssignment, api.SubmittedNotebook
    rows = (
        select(
            submission.student_id,
            submission.extension,
            notebook.flagged,
            notebook.late_submission_penalty,
        )
        .select_from(submission)
        .join(api.Assignment, api.Assignment.id == submission.assignment_id)
        .outerjoin(notebook, notebook.assignment_id == submission.id)
        .where(*_of(lab, students))
    )
    for student, extension, flagged, penalty in connection.execute(rows):
        kept[student] = _Kept(bool(flagged), extension, penalty)
    grade = api.Grade
    rows = select(
        submission.student_id,
        api.BaseCell.name,
        grade.manual_score,
        grade.extra_credit,
        grade.needs_manual_grade,
        _SEEN.c.digest,
    )
    rows = _joined(rows, grade).outerjoin(_SEEN, _SEEN.c.grade_id == grade.id)
    for student, name, score, extra, needs, digest in connection.execute(
        rows.where(*_of(lab, students))
    ):
        kept[student].grades[name] = (score, extra, needs, digest or "")
    rows = select(submission.student_id, api.BaseCell.name, api.Comment.manual_comment)
    for student, name, comment in connection.execute(
        _joined(rows, api.Comment).where(*_of(lab, students))
    ):
        if comment:
            kept[student].comments[name] = comment
    return kept


def _drop_submissions(connection: Connection, lab: str, students: set[str] | None) -> None:
    submissions = select(api.SubmittedAssignment.id).join(api.Assignment).where(*_of(lab, students))
    ids = connection.execute(submissions).scalars().all()
    notebooks = select(api.SubmittedNotebook.id).where(api.SubmittedNotebook.assignment_id.in_(ids))
    grades = select(api.Grade.id).where(api.Grade.notebook_id.in_(notebooks))
    connection.execute(delete(_SEEN).where(_SEEN.c.grade_id.in_(grades)))
    for table in (api.Grade, api.Comment):
        connection.execute(
            delete(table)
            .where(table.notebook_id.in_(notebooks))
            .execution_options(synchronize_session=False)
        )
    connection.execute(
        delete(api.SubmittedNotebook).where(api.SubmittedNotebook.assignment_id.in_(ids))
    )
    connection.execute(delete(api.SubmittedAssignment).where(api.SubmittedAssignment.id.in_(ids)))


def _graded_text(result: Result | None, cell: Cell) -> str:
    """What a grade is given for: the written answer, or the code of the question."""
    if result is None:
        return ""
    if cell.kind == "manual":
        return next((a.text for a in result.manual if a.grade_id == cell.grade_id), "")
    return json.dumps(
        [v for k, v in sorted(result.answers.items()) if question_of(k) == cell.question]
    )


def _auto_score(result: Result | None, cell: Cell) -> float | None:
    """The score that needs no person; None if there is none: asks for attention in formgrader."""
    if result is None:
        return None
    if cell.kind == "manual":
        answer = next((a for a in result.manual if a.grade_id == cell.grade_id), None)
        return 0.0 if answer is not None and not answer.answered else None
    test = next((t for t in result.tests if t.grade_id == cell.grade_id), None)
    return None if test is None or test.outcome == "not-run" else test.points


def _no_response(result: Result | None, cell: Cell) -> bool:
    if result is None or result.status == "unreadable":
        return False
    if cell.kind == "manual":
        return _auto_score(result, cell) == 0.0
    return result.answers.get(cell.grade_id, "").strip() in ("", cell.release.strip())


def _add_submissions(connection, lab: Lab, cells, results, kept: dict[str, _Kept]) -> None:
    """One submission for each result, and for each lost one that a person worked on."""
    tables: dict = {
        api.SubmittedAssignment: [],
        api.SubmittedNotebook: [],
        api.Grade: [],
        _SEEN: [],
        api.Comment: [],
    }
    for student in sorted(results.keys() | kept.keys()):
        result, given = results.get(student), kept.get(student, _Kept())
        if (result is None or result.status == "missing") and not given.by_hand:
            continue  # formgrader shows a student without a submission
        submission, notebook = _id("submission", student, lab.name), _id("work", student, lab.name)
        received = result.received if result is not None else None
        tables[api.SubmittedAssignment].append(
            {
                "id": submission,
                "assignment_id": cells["Assignment", ""],
                "student_id": student,
                "timestamp": parse_utc(received) if received else None,
                "extension": given.extension,
            }
        )
        tables[api.SubmittedNotebook].append(
            {
                "id": notebook,
                "assignment_id": submission,
                "notebook_id": cells["Notebook", ""],
                "flagged": given.flagged,
                "late_submission_penalty": given.penalty,
            }
        )
        for cell in lab.tests + lab.manual:
            score, extra, needs, seen = given.grades.get(cell.grade_id, (None, None, True, ""))
            auto = _auto_score(result, cell)
            digest = hashlib.sha256(
                _graded_text(result, cell).encode("utf-8", "surrogatepass")
            ).hexdigest()
            if score is None:
                needs = auto is None
            elif seen and seen != digest:
                needs = True  # another answer than the one that got the grade
            grade = _id("grade", student, lab.name, cell.grade_id)
            tables[api.Grade].append(
                {
                    "id": grade,
                    "notebook_id": notebook,
                    "cell_id": cells["GradeCell", cell.grade_id],
                    "auto_score": auto,
                    "manual_score": score,
                    "extra_credit": extra,
                    "needs_manual_grade": needs,
                }
            )
            tables[_SEEN].append({"grade_id": grade, "digest": digest})
        for cell in lab.answers + lab.manual:
            tables[api.Comment].append(
                {
                    "id": _id("comment", student, lab.name, cell.grade_id),
                    "notebook_id": notebook,
                    "cell_id": cells["SolutionCell", cell.grade_id],
                    "auto_comment": "No response." if _no_response(result, cell) else None,
                    "manual_comment": given.comments.get(cell.grade_id),
                }
            )
    for table, rows in tables.items():
        if rows:
            connection.execute(insert(table), rows)
