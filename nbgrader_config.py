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
