// Measures the page it stands in and tells the page around it, as JSON; run by tests/report/browser.py.
window.addEventListener("load", () => {
  if (!FOLDED) for (const one of document.querySelectorAll("details")) one.open = true;
  const found = { width: innerWidth, scroll: document.documentElement.scrollWidth, texts: 0, overflow: [], clipped: [],
                  overlaps: [], contrast: [], small: [], graphics: [], pictures: [], shown: [] };
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.canvas.width = canvas.canvas.height = 1;
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = "#000";
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => {
    const a = top[3];
    return [0, 1, 2].map((i) => top[i] * a + under[i] * (1 - a)).concat(1);
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const visible = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
  const behind = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      layers.push(rgba(getComputedStyle(at).backgroundColor));
      if (layers[layers.length - 1][3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const painted = (text, svg) => {
    const box = text.getBoundingClientRect();
    const x = box.left + box.width / 2, y = box.top + box.height / 2;
    let colour = behind(svg);
    for (const shape of svg.querySelectorAll("path, rect")) {
      const r = shape.getBoundingClientRect();
      if (x < r.left || x > r.right || y < r.top || y > r.bottom || shape.closest("defs, clipPath")) continue;
      const style = getComputedStyle(shape);
      if (style.fill === "none") continue;
      const fill = rgba(style.fill);
      colour = over([fill[0], fill[1], fill[2], fill[3] * style.opacity * style.fillOpacity], colour);
    }
    return colour;
  };
  const judge = (words, ink, paper, px, bold) => {
    found.texts += 1;
    const needed = px >= 24 || (bold && px >= 18.66) ? 3 : 4.5;
    const got = ratio(over(ink, paper), paper);
    if (got < needed) found.contrast.push(`${words}: ${got.toFixed(2)} of ${needed}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!node.data.trim() || !visible(e) || e.closest("svg, script, #found")) continue;
    const style = getComputedStyle(e), px = parseFloat(style.fontSize);
    judge(node.data.trim().slice(0, 40), rgba(style.color), behind(e), px, style.fontWeight >= 600);
    if (px < 10) found.small.push(node.data.trim().slice(0, 40));
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const r of range.getClientRects()) {
      const hidden = e.closest("thead") && getComputedStyle(e.closest("thead")).position === "absolute";
      if (!hidden && (r.right > innerWidth + 1 || r.left < -1)) found.overflow.push(node.data.trim().slice(0, 60));
    }
  }
  for (const svg of document.querySelectorAll("svg")) {
    const label = (svg.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id));
    found.pictures.push({ role: svg.getAttribute("role"), words: label.map((e) => e ? e.textContent.trim().length : 0) });
    if (!visible(svg)) continue;
    found.shown.push(label[0] ? label[0].textContent : "");
    const frame = svg.getBoundingClientRect(), boxes = [], scale = frame.width / svg.viewBox.baseVal.width;
    for (const text of svg.querySelectorAll("text")) {
      const r = text.getBoundingClientRect(), words = text.textContent.trim(), style = getComputedStyle(text);
      if (!words) continue;
      if (r.left < frame.left - 1 || r.right > frame.right + 1 || r.top < frame.top - 1 || r.bottom > frame.bottom + 1)
        found.clipped.push(`${label[0].textContent}: ${words}`);
      for (const [other, name] of boxes) {
        const w = Math.min(r.right, other.right) - Math.max(r.left, other.left);
        const h = Math.min(r.bottom, other.bottom) - Math.max(r.top, other.top);
        if (w > 1.5 && h > 3) found.overlaps.push(`${label[0].textContent}: ${words} / ${name}`);
      }
      boxes.push([r, words]);
      const px = parseFloat(style.fontSize) * scale;
      if (px < 9.5 && !text.querySelector("tspan")) found.small.push(`${words}: ${px.toFixed(1)} px`);
      const fill = rgba(style.fill);
      judge(words, [fill[0], fill[1], fill[2], fill[3] * style.opacity], painted(text, svg), px, style.fontWeight >= 600);
    }
  }
  const root = getComputedStyle(document.documentElement), paper = rgba(root.getPropertyValue("--surface"));
  for (const role of ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "muted", "ink", "bad"]) {
    const got = ratio(rgba(root.getPropertyValue(`--${role}`)), paper);
    if (got < 3) found.graphics.push(`--${role}: ${got.toFixed(2)}`);
  }
  const top = (e) => (e ? Math.round(e.getBoundingClientRect().top + scrollY) : null);
  found.tops = { limits: top([...document.querySelectorAll("figcaption")].find((e) => e.textContent === "Against the limits")),
                 derivations: top(document.getElementById("derivations")) };
  found.dark = light(paper) < 0.2;
  parent.postMessage(JSON.stringify(found).replaceAll("<", "\\u003c"), "*");
});
