// Tabs as assistive technology knows them: one stop of the Tab key, arrows, Home and End; the address remembers.

/**
 * Let the `role=tab` buttons of `list` show their panels.
 *
 * @param {HTMLElement} list
 * @param {(name: string) => void} onshow called with the id of the panel each time one comes into view
 */
export function tabs(list, onshow) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

  function show(tab) {
    for (const one of all) {
      const chosen = one === tab;
      one.setAttribute("aria-selected", chosen);
      one.tabIndex = chosen ? 0 : -1;
      panelOf(one).hidden = !chosen;
    }
    bringIntoView();
    onshow(panelOf(tab).id);
  }

  /** Put the chosen tab into the middle: a phone shows three of them. */
  function bringIntoView() {
    const tab = all.find((one) => one.getAttribute("aria-selected") === "true");
    if (tab) list.scrollTo({ left: tab.offsetLeft - (list.clientWidth - tab.clientWidth) / 2 });
  }

  function ofAddress() {
    return all.find((tab) => `#${panelOf(tab).id}` === location.hash) ?? all[0];
  }

  function choose(tab) {
    if (`#${panelOf(tab).id}` !== location.hash) history.pushState(null, "", `#${panelOf(tab).id}`);
    show(tab);
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const here = all.indexOf(document.activeElement);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || here < 0) return;
    event.preventDefault();
    const next = all.at(to % all.length);
    next.focus();
    choose(next);
  });
  new ResizeObserver(bringIntoView).observe(list); // a phone that is turned, a window that is made narrow
  window.addEventListener("resize", bringIntoView); // wide and narrow again between two frames: the observer sees none
  window.addEventListener("popstate", () => show(ofAddress()));
  return { start: () => show(ofAddress()), choose: (name) => choose(all.find((tab) => panelOf(tab).id === name)) };
}
