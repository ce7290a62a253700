// What WCAG 2.2 AA asks of a page and a program can see. Returns one line for each thing that is wrong.
(() => {
  const wrong = [];
  const say = (rule, node, what) => wrong.push(`${rule}: ${what}: ${node ? node.outerHTML.replace(/\s+/g, " ").slice(0, 160) : ""}`);
  const shown = (n) => {
    const style = getComputedStyle(n), box = n.getBoundingClientRect();
    return style.visibility !== "hidden" && style.display !== "none" && box.width > 1 && box.height > 1 && box.right > 0;
  };
  const name = (n) => (n.getAttribute("aria-label") || (n.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent || "").join(" ") ||
    [...(n.labels || [])].map((l) => l.textContent).join(" ") || n.getAttribute("title") || n.textContent || n.querySelector("img")?.alt || "").trim();

  if (!document.documentElement.lang) say("3.1.1", document.documentElement, "the page says no language");
  if (!document.title.trim()) say("2.4.2", document.head, "the page has no title");
  if (document.querySelectorAll("main").length !== 1) say("1.3.1", null, "there is not exactly one main");
  if (document.querySelectorAll("h1").length !== 1) say("1.3.1", null, "there is not exactly one h1");
  let before = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const level = Number(h.tagName[1]);
    if (level > before + 1) say("1.3.1", h, `a heading of level ${level} follows one of level ${before}`);
    before = level;
  }
  const ids = new Set();
  for (const n of document.querySelectorAll("[id]")) {
    if (ids.has(n.id)) say("4.1.2", n, "an id is there twice");
    ids.add(n.id);
  }
  for (const n of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")) {
    for (const a of ["aria-labelledby", "aria-describedby", "for"]) {
      for (const id of (n.getAttribute(a) || "").split(" ").filter(Boolean)) if (!ids.has(id)) say("1.3.1", n, `${a} names nothing`);
    }
  }
  for (const n of document.querySelectorAll("img")) if (!n.hasAttribute("alt")) say("1.1.1", n, "an image has no text");
  for (const n of document.querySelectorAll("svg")) {
    if (n.getAttribute("aria-hidden") !== "true" && (n.getAttribute("role") !== "img" || !(n.querySelector("title") || n.getAttribute("aria-label")))) say("1.1.1", n, "a drawing has no text");
  }
  for (const n of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")) {
    if (!shown(n)) continue;
    if (!name(n)) say("4.1.2", n, "a control has no name");
    const box = n.getBoundingClientRect();
    const inText = n.tagName === "A" && getComputedStyle(n).display === "inline";
    if (!inText && (box.width < 24 || box.height < 24) && !n.closest("label") && !(n.labels || []).length && !n.classList.contains("link")) say("2.5.8", n, `a target of ${Math.round(box.width)}x${Math.round(box.height)}`);
    if (n.tabIndex > 0) say("2.4.3", n, "a tab order of its own");
  }
  for (const n of document.querySelectorAll("th")) if (!n.textContent.trim()) say("1.3.1", n, "a heading of a column is empty");
  for (const n of document.querySelectorAll("[onclick], [style]")) say("CSP", n, "an inline style or script");
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth + 1) say("1.4.10", null, `the page is ${document.documentElement.scrollWidth} wide in a window of ${document.documentElement.clientWidth}`);

  const scrolls = (n) => {
    const style = getComputedStyle(n), can = (o) => o === "auto" || o === "scroll";
    return can(style.overflowY) && n.scrollHeight > n.clientHeight + 1 || can(style.overflowX) && n.scrollWidth > n.clientWidth + 1;
  };
  for (const n of document.body.querySelectorAll("*")) {
    if (shown(n) && scrolls(n) && n.tabIndex < 0 && !n.matches("textarea, select") && ![...n.querySelectorAll("a[href], button, input, select, textarea, [tabindex]")].some((m) => m.tabIndex >= 0)) say("2.1.1", n, "a region that scrolls cannot have the focus");
  }
  const wrongs = document.querySelectorAll("[aria-invalid=true]");
  for (const n of wrongs) if (!n.getAttribute("aria-describedby")) say("3.3.1", n, "what is wrong is not said with the control");
  if (wrongs.length && document.activeElement !== wrongs[0]) say("3.3.1", wrongs[0], "the first mistake does not have the focus");
  for (const n of document.querySelectorAll("fieldset")) if (!n.querySelector(":scope > legend")?.textContent.trim()) say("1.3.1", n, "a group of controls has no name");

  // 1.4.3: contrast of text with what is behind it.
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (n) => {
    const layers = [];
    for (; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); layers.push(c); if (c[3] === 1) break; }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let text; (text = walker.nextNode());) {
    const n = text.parentElement;
    if (!text.data.trim() || seen.has(n) || !shown(n) || n.closest("svg, script, style") || n.closest("[disabled]")) continue;
    seen.add(n);
    const style = getComputedStyle(n), back = behind(n), front = over(parse(style.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) say("1.4.3", n, `contrast ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return wrong;
})()
