// Paper has no dark theme and no drop-downs: printed is all of the page, black on white.
{
  const root = document.documentElement;
  let theme, folded;

  window.addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    folded = [...document.querySelectorAll("details:not([open])")];
    root.dataset.theme = "light";
    for (const details of folded) details.open = true;
  });

  window.addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    for (const details of folded) details.open = false;
  });
}
