"""nbgrader's view of this course: solutions/ is what we write, labs/ what students get."""

c = get_config()  # noqa: F821  (traitlets gives this name to configuration files)

c.CourseDirectory.course_id = "language-models"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "labs"
# Never released: the wrong answers that the tests must catch, and what editors leave behind.
c.CourseDirectory.ignore = [
    "mistakes.py",
    ".ipynb_checkpoints",
    "__pycache__",
    "*.pyc",
    ".DS_Store",
]

# Seconds a cell may take in nbgrader's own tools, where 30 is the default: too short for the last
# cells of lab 01 with a plain solution on a busy machine.
c.Execute.timeout = 300
