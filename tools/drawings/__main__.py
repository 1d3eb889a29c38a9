"""Write every drawing to _static/drawings/."""

from tools.drawings import FOLDER, PAGES, name

FOLDER.mkdir(parents=True, exist_ok=True)
for function in PAGES.values():
    (FOLDER / name(function)).write_text(function().svg(), encoding="utf-8", newline="\n")
print(f"{len(PAGES)} drawings in {FOLDER}")
