// What tests/browser/visits.py asks of a page; problems come as a list of [element, problem].
(() => {
  const root = document.documentElement;

  const name = (element) => {
    const id = element.id ? "#" + element.id : "";
    const names = [...element.classList].map((it) => "." + it).join("");
    const inside = element.closest("[id]");
    const where = !id && inside ? "#" + inside.id + " " : "";
    const text = (element.innerText || element.getAttribute("aria-label") || "").trim();
    return where + element.localName + id + names + (text && ` "${text.slice(0, 40)}"`);
  };
  const visible = (element) => element.checkVisibility({ visibilityProperty: true });
  const words = (within) => {
    const found = [], walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode, parent = node.parentElement;
      if (node.data.trim() && !parent.closest("script, style, noscript") && visible(parent))
        found.push(node);
    }
    return found;
  };

  // One element of each look: what colours, over what, how large. axe needs seconds for the
  // thousands of words of a page's code, which have a dozen looks.
  function looks() {
    const under = new Map([[null, ""]]), found = new Map();
    const ground = (element) => {
      if (!under.has(element)) {
        const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element);
        const own = [backgroundColor, backgroundImage, opacity].join();
        const plain = own === "rgba(0, 0, 0, 0),none,1";
        under.set(element, ground(element.parentElement) + (plain ? "" : "/" + own));
      }
      return under.get(element);
    };
    for (const { parentElement: element } of words(document.body)) {
      const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element);
      const look = [color, fontSize, fontWeight, textShadow, ground(element)].join();
      if (!found.has(look)) found.set(look, element);
    }
    return [...found.values()];
  }

  // Leave of the words of code those in `kept`: they are most of a page's elements, and axe reads
  // each of them for each rule.
  function plainCode(kept) {
    for (const word of document.querySelectorAll("pre span"))
      if (!word.matches("[id], [role], [tabindex]") && !kept.some((it) => word.contains(it)))
        word.replaceWith(...word.childNodes);
    for (const pre of document.querySelectorAll("pre")) pre.normalize();
  }

  function overflow() {
    if (root.scrollWidth <= root.clientWidth) return [];
    const problem = `is wider than the window: ${root.scrollWidth} > ${root.clientWidth} px; ` +
      "let it wrap, shrink or scroll within itself";
    const beyond = [...document.body.querySelectorAll("*")].filter((element) =>
      visible(element) && element.getBoundingClientRect().right > root.clientWidth + 1);
    const inner = beyond.filter((element) => !beyond.includes(element.firstElementChild));
    return (inner.length ? inner.slice(0, 5) : [root]).map((element) => [name(element), problem]);
  }

  // Text beyond the edge of an element that hides what overflows. What scrolls may overflow, and
  // what a screen reader alone shall meet is clipped on purpose, to a pixel.
  function cut() {
    const clips = (value) => value === "hidden" || value === "clip";
    const found = new Map();
    for (const node of words(document.body)) {
      const range = document.createRange();
      range.selectNodeContents(node);
      const text = range.getBoundingClientRect();
      let across = true, down = true, escaped = false;
      for (let box = node.parentElement; box && box !== root; box = box.parentElement) {
        const { overflowX, overflowY, position, display, clip, clipPath } =
          getComputedStyle(box);
        if (escaped && position === "static") continue;
        escaped = position === "absolute";
        if (position === "fixed" || !(across || down)) break;
        if (clip !== "auto" || clipPath !== "none") break;
        if (display === "inline" || display === "contents") continue;
        const edge = box.getBoundingClientRect();
        if (clips(overflowX) && edge.width <= 1 && edge.height <= 1) break;
        const lost = (across && clips(overflowX) &&
            (text.right > edge.right + 1 || text.left < edge.left - 1)) ||
          (down && clips(overflowY) &&
            (text.bottom > edge.bottom + 1 || text.top < edge.top - 1));
        if (lost) {
          found.set(box, `cuts off "${node.data.trim().slice(0, 40)}"; ` +
            "let it wrap, or scroll");
          break;
        }
        across &&= overflowX === "visible";
        down &&= overflowY === "visible";
      }
    }
    return [...found].map(([box, problem]) => [name(box), problem]);
  }

  // Each element that Tab reaches shows that it has the focus: on itself, or on its parent (a
  // card) or its label. Asked after a press of Tab: only then :focus-visible holds.
  function focus() {
    const still = document.head.appendChild(document.createElement("style"));
    still.textContent = "* { transition: none !important; animation: none !important }";
    const seen = (element) => {
      const { left, right, width, height } = element.getBoundingClientRect();
      return element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
        width > 1 && height > 1 && right > 0 && left < root.clientWidth;
    };
    const mark = (element) => !seen(element) ? "" : ["", "::before", "::after"].map((part) => {
      const s = getComputedStyle(element, part);
      return [s.outlineStyle === "none" ? "" : s.outline, s.boxShadow, s.border,
        s.backgroundColor, s.textDecorationLine].join();
    }).join();
    const found = [], reached = "a[href], button, input, select, textarea, summary, [tabindex]";
    for (const element of document.querySelectorAll(reached)) {
      if (element.tabIndex < 0 || element.disabled || !visible(element)) continue;
      const marks = () =>
        [element, element.parentElement, ...(element.labels || [])].map(mark).join();
      document.activeElement.blur();
      const before = marks();
      element.focus();
      if (document.activeElement !== element || marks() !== before) continue;
      found.push([name(element), seen(element)
        ? "looks the same with the focus; give it an outline"
        : "takes the focus and cannot be seen; show it then, or let Tab pass it by"]);
    }
    document.activeElement.blur();
    still.remove();
    return found;
  }

  window.checks = { looks, plainCode, overflow, cut, focus };
})();
