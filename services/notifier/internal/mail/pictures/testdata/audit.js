// What a reader needs of a mail and a program can see. Returns one line for each thing that is wrong.
(() => {
  const wrong = [];
  const say = (what, node) => wrong.push(`${what}: ${node ? node.outerHTML.replace(/\s+/g, " ").slice(0, 200) : ""}`);
  const shown = (n) => {
    const box = n.getBoundingClientRect();
    return getComputedStyle(n).display !== "none" && box.width > 1 && box.height > 1;
  };
  if (!document.documentElement.lang) say("the mail says no language");
  if (document.querySelectorAll("h1").length !== 1) say("there is not one heading of the first level");
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) say(`the mail is ${document.documentElement.scrollWidth} wide in a window of ${document.documentElement.clientWidth}`);

  // How things stand is on top, in words.
  const bar = document.querySelector(".card td");
  if (!bar.textContent.trim() || bar.getBoundingClientRect().bottom > 200) say("how things stand is not on top", bar);
  // What is listed beside the subject is not in the mail.
  if (shown(document.body.querySelector("div"))) say("the preview is shown", document.body.querySelector("div"));
  for (const n of document.querySelectorAll(".button a")) {
    const box = n.getBoundingClientRect();
    if (box.height < 44 || box.width < 44) say(`a button of ${Math.round(box.width)}x${Math.round(box.height)}`, n);
  }

  // Contrast of text with what is behind it (WCAG 2.2, 1.4.3).
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (n) => {
    for (; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c[3] === 1) return c; }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode());) {
    const n = text.parentElement;
    if (!text.data.trim() || !shown(n)) continue;
    const [a, b] = [light(parse(getComputedStyle(n).color)), light(behind(n))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) say(`contrast ${((a + 0.05) / (b + 0.05)).toFixed(2)}`, n);
    if (parseFloat(getComputedStyle(n).fontSize) < 12) say("small print", n);
  }
  return wrong;
})()
