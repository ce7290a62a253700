// Open pages hear that what they show has changed, and their countdowns run. Everything works without this script; a page is
// then as old as its last load. It has no words of its own: they are in the page.
"use strict";
(() => {
  const again = 30000; // ms until the next attempt after a refusal
  const live = () => document.querySelector("main[data-live]");
  const bar = () => document.getElementById("stale");
  const voice = document.body.appendChild(document.createElement("div"));
  voice.className = "hidden";
  voice.setAttribute("role", "status");
  voice.setAttribute("aria-live", "polite");
  let source;

  const speak = (text) => { // a new element is read out even if it says the same again
    const line = document.createElement("p");
    line.textContent = text;
    voice.replaceChildren(line);
  };

  const touched = (e) => {
    if (e.type === "hidden") return false;
    if (e.type === "checkbox" || e.type === "radio") return e.checked !== e.defaultChecked;
    if (e.options) return e.selectedIndex !== Math.max(0, [...e.options].findIndex((o) => o.defaultSelected));
    return e.value !== e.defaultValue;
  };

  // Nobody's form, nothing that somebody has marked, and no page on which somebody is about to decide is taken from under
  // their hands.
  const marked = (main) => {
    const s = getSelection();
    return s && !s.isCollapsed && (main.contains(s.anchorNode) || main.contains(s.focusNode));
  };
  const busy = (main) => {
    if (bar()?.hasAttribute("data-hold") || marked(main)) return true;
    const here = document.activeElement;
    return main.contains(here) && here.matches("input, select, textarea") || [...main.querySelectorAll("input, select, textarea")].some(touched);
  };

  // The element that has the focus is found again in the new page: by its id, or else as the link or control of the same
  // name. If it is gone, the page itself has the focus, and not the window's beginning.
  const named = (e) => [e.localName, e.getAttribute("href"), e.getAttribute("name"), e.getAttribute("value"), e.textContent.trim()].join("\n");
  const focused = (main) => {
    const here = document.activeElement;
    if (!main.contains(here) || here === main) return () => {};
    const id = here.id, name = named(here), alike = [...main.querySelectorAll(here.localName)].filter((e) => named(e) === name).indexOf(here);
    return (fresh) => {
      const found = id ? document.getElementById(id) : [...fresh.querySelectorAll(here.localName)].filter((e) => named(e) === name)[alike];
      (found && fresh.contains(found) ? found : fresh).focus({ preventScroll: true });
    };
  };

  const warn = () => {
    const shown = bar();
    if (!shown || !shown.hidden) return;
    shown.hidden = false;
    document.querySelectorAll("[data-decides]").forEach((b) => {
      b.disabled = true;
      b.setAttribute("aria-describedby", "stale");
    });
    speak(shown.querySelector("p").textContent);
  };

  const replace = async (sequence) => {
    const address = new URL(bar()?.dataset.page || location.href, location.href);
    for (const [name, value] of new URLSearchParams(location.search)) if (name === "page") address.searchParams.set(name, value);
    if (Number(sequence)) address.searchParams.set("after", sequence);
    const reply = await fetch(address, { credentials: "same-origin" });
    if (!reply.ok || reply.redirected) return warn();
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = page.querySelector("main[data-live]"), old = live();
    if (!fresh || busy(old)) return warn();
    const open = [...old.querySelectorAll("details")].map((d) => d.open), refocus = focused(old);
    old.replaceWith(document.adoptNode(fresh));
    fresh.querySelectorAll("details").forEach((d, i) => { d.open = Boolean(open[i]); });
    const ways = page.querySelector("nav.ways");
    if (ways) document.querySelector("nav.ways")?.replaceWith(document.adoptNode(ways));
    document.title = page.title;
    refocus(fresh);
    speak(bar()?.dataset.said || "");
    tick();
    listen();
  };

  const listen = () => {
    source?.close();
    const main = live();
    if (!main) return;
    source = new EventSource(main.dataset.live);
    const mine = source;
    source.addEventListener("changed", (e) => (busy(live()) ? warn() : replace(e.data).catch(warn)));
    source.addEventListener("over", () => { mine.close(); warn(); });
    source.addEventListener("error", () => {
      if (mine.readyState === EventSource.CLOSED) setTimeout(() => mine === source && listen(), again);
    });
  };

  // Countdowns go by the server's clock and stop at two units, as the server writes them.
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const tick = () => document.querySelectorAll("time[data-left]").forEach((t) => {
    t.seen ??= performance.now();
    const left = Math.floor((Date.parse(t.dateTime) - Date.parse(t.dataset.left) - (performance.now() - t.seen)) / 1000);
    const parts = [];
    let rest = left;
    for (const [unit, length] of units) {
      const n = Math.floor(rest / length);
      rest -= n * length;
      if (n > 0 && parts.length < 2 && !(unit === "minute" && left >= 86400)) {
        parts.push(new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "long" }).format(n));
      }
    }
    const text = left <= 0 ? t.dataset.over : parts.join(" ") || t.dataset.last;
    if (t.textContent !== text) t.textContent = text;
  });

  tick();
  setInterval(tick, 1000);
  listen();
})();
