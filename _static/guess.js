// The game of the front page. All rounds stand in the page with their answers: this hides the
// answers, lets the reader choose, and keeps the score.
document.addEventListener("DOMContentLoaded", () => {
  const game = document.querySelector(".guess");
  if (!game) return;
  const rounds = [...game.querySelectorAll(".guess-round")];
  const names = { you: "You", counting: "Counting", gpt: "GPT", oracle: "Oracle" };
  const right = {};
  let current = 0;

  const make = (tag, className, text = "") => {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  };
  const head = make("p", "guess-head");
  const score = make("p", "guess-score");
  const next = make("button", "guess-next");
  next.type = "button";
  game.prepend(head);
  game.append(next, score);

  const answerOf = (round) => round.querySelector(".guess-gap").dataset.word;

  for (const round of rounds) {
    const gap = round.querySelector(".guess-gap");
    gap.dataset.word = gap.textContent;
    const choices = make("div", "guess-choices");
    choices.setAttribute("role", "group");
    choices.setAttribute("aria-label", "Which word comes next?");
    for (const row of round.querySelectorAll("tbody tr:not(:last-child) th")) {
      const button = make("button", "guess-choice", row.textContent);
      button.type = "button";
      button.addEventListener("click", () => answer(round, button.textContent));
      choices.append(button);
    }
    const verdict = make("p", "guess-verdict");
    verdict.setAttribute("aria-live", "polite");
    const story = round.querySelector(".guess-story");
    story.tabIndex = -1;
    story.after(choices, verdict);
  }

  function show(index) {
    current = index;
    rounds.forEach((round, i) => { round.hidden = i !== index; });
    const round = rounds[index];
    const gap = round.querySelector(".guess-gap");
    round.classList.remove("answered", "hit");
    round.querySelector(".guess-verdict").textContent = "";
    gap.textContent = "\u00a0";
    gap.setAttribute("role", "img");
    gap.setAttribute("aria-label", "a hidden word");
    head.textContent = `Round ${index + 1} of ${rounds.length}: which word comes next?`;
    next.hidden = true;
  }

  function answer(round, word) {
    const gap = round.querySelector(".guess-gap");
    const hit = word === answerOf(round);
    gap.textContent = answerOf(round);
    gap.removeAttribute("role");
    gap.removeAttribute("aria-label");
    round.classList.add("answered");
    round.classList.toggle("hit", hit);
    for (const row of round.querySelectorAll("tbody tr")) {
      row.classList.toggle("guess-yours", row.querySelector("th").textContent === word);
    }
    for (const who of [...(hit ? ["you"] : []), ...round.dataset.right.split(" ")]) {
      right[who] = (right[who] || 0) + 1;
    }
    head.textContent = `Round ${current + 1} of ${rounds.length}`;
    const last = current + 1 === rounds.length;
    const told = hit ? `Yes: “${word}”.` : `Not “${word}”: the story says “${answerOf(round)}”.`;
    round.querySelector(".guess-verdict").textContent = told + (last ? ending() : "");
    tally();
    next.textContent = last ? "Play again" : "Next word";
    next.hidden = false;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  function tally() {
    const done = current + 1;
    score.replaceChildren(
      ...Object.entries(names).map(([who, name]) => {
        const entry = make("span", `guess-${who}`, `${name} `);
        entry.append(make("b", "", `${right[who] || 0} of ${done}`));
        return entry;
      }),
    );
  }

  function ending() {
    const ahead = (right.you || 0) - (right.oracle || 0);
    if (ahead > 0) return " You beat the oracle, by luck: over many words nobody can.";
    if (ahead === 0) return " You are level with the oracle, which knows all there is to know.";
    return " The oracle knows all there is to know; over many words nobody can do better.";
  }

  next.addEventListener("click", () => {
    const again = current + 1 === rounds.length;
    if (again) {
      for (const who of Object.keys(right)) delete right[who];
      score.replaceChildren();
    }
    show(again ? 0 : current + 1);
    rounds[current].querySelector(".guess-story").focus({ preventScroll: true });
    head.scrollIntoView({ block: "nearest" });
  });

  game.classList.add("playing");
  show(0);
});
