"""What grading gave: kept, shown to students and instructors, handed on."""
