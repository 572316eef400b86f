"use strict";
// Titles are text from strangers: they reach the page by textContent alone, never as HTML.
(() => {
  const $ = (selector) => document.querySelector(selector);
  const data = JSON.parse($("#data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const xy = new Float32Array(bytes(data.xy));
  const fieldOf = new Uint16Array(bytes(data.field));
  const groupOf = Uint16Array.from(fieldOf, (field) => data.group[field]); // legend entry of each paper
  const neighbours = new Uint32Array(bytes(data.neighbours));
  const n = fieldOf.length;
  const plain = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const searchable = data.titles.map(plain);

  const canvas = $("#canvas");
  const pen = canvas.getContext("2d");
  const view = { x: 0, y: 0, scale: 1, fit: 1, width: 1, height: 1 };
  const shownGroups = new Set(); // empty: all
  let found = null; // Uint8Array of search hits, or null without a search
  let chosen = -1;
  let hovered = -1;
  let waiting = false;

  // A fixed shuffle, so that the last field in the file does not lie on top of all others.
  const order = new Uint32Array(n).map((_, i) => i);
  for (let i = n - 1, seed = 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = seed % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }

  const shown = (i) => shownGroups.size === 0 || shownGroups.has(groupOf[i]);
  const screenX = (i) => (xy[2 * i] - view.x) * view.scale + view.width / 2;
  const screenY = (i) => (view.y - xy[2 * i + 1]) * view.scale + view.height / 2;
  const radius = () => {
    const base = Math.min(4.5, Math.max(1.6, 150 / Math.sqrt(n)));
    return Math.min(9, base * Math.pow(view.scale / view.fit, 0.35));
  };

  // ---- drawing
  const shapes = {
    o: (p, c, r) => p.arc(c, c, r, 0, 7),
    s: (p, c, r) => p.rect(c - r * 0.88, c - r * 0.88, r * 1.76, r * 1.76),
    "^": (p, c, r) => polygon(p, c, [[0, -1.15], [1.05, 0.8], [-1.05, 0.8]], r),
    v: (p, c, r) => polygon(p, c, [[0, 1.15], [1.05, -0.8], [-1.05, -0.8]], r),
    D: (p, c, r) => polygon(p, c, [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]], r),
    X: (p, c, r) =>
      polygon(p, c, [[-1, -0.5], [-0.5, -1], [0, -0.5], [0.5, -1], [1, -0.5], [0.5, 0],
        [1, 0.5], [0.5, 1], [0, 0.5], [-0.5, 1], [-1, 0.5], [-0.5, 0]], r),
  };
  function polygon(p, c, corners, r) {
    corners.forEach(([x, y], i) => p[i ? "lineTo" : "moveTo"](c + x * r, c + y * r));
    p.closePath();
  }
  function shape(group, r) {
    const image = document.createElement("canvas");
    image.width = image.height = 2 * Math.ceil(1.3 * r) + 1;
    const p = image.getContext("2d");
    p.fillStyle = data.looks[group][0];
    p.beginPath();
    shapes[data.looks[group][1]](p, image.width / 2, r);
    p.fill();
    return image;
  }

  // Points are blended into memory pixel by pixel: 20,000 calls of the canvas would take a tenth of a second without
  // a graphics card, this takes milliseconds. The margin around the view saves clipping at its edges.
  const margin = 48;
  let image = null;
  let pixels = null;
  const made = new Map();
  function stamp(group, r, row) {
    const key = `${group} ${r} ${row}`;
    if (!made.has(key)) {
      if (made.size > 1000) made.clear();
      const source = shape(group, r);
      const side = source.width;
      const half = (side - 1) / 2;
      const alphas = source.getContext("2d").getImageData(0, 0, side, side).data.filter((_, i) => i % 4 === 3);
      const inside = Array.from(alphas.keys()).filter((i) => alphas[i] > 0);
      const [red, green, blue] = [1, 3, 5].map((at) => parseInt(data.looks[group][0].slice(at, at + 2), 16));
      made.set(key, {
        offsets: Int32Array.from(inside, (i) => (Math.floor(i / side) - half) * row + (i % side) - half),
        alphas: Uint8Array.from(inside, (i) => alphas[i]),
        redBlue: (blue << 16) | red,
        green: green << 8,
      });
    }
    return made.get(key);
  }

  function stampAll(wanted, strength, images, ratio) {
    const row = image.width;
    const [right, bottom] = [row - margin / 2, image.height - margin / 2];
    for (let k = 0; k < n; k++) {
      const i = order[k];
      if (!wanted(i)) continue;
      const x = Math.round(screenX(i) * ratio) + margin, y = Math.round(screenY(i) * ratio) + margin;
      if (x < margin / 2 || y < margin / 2 || x >= right || y >= bottom) continue;
      const { offsets, alphas, redBlue, green } = images[groupOf[i]];
      const at = y * row + x;
      for (let p = 0; p < offsets.length; p++) {
        const a = (alphas[p] * strength + 255) >> 8;
        const under = pixels[at + offsets[p]];
        pixels[at + offsets[p]] = (0xff000000
          | ((((under & 0xff00ff) * (256 - a) + redBlue * a) >>> 8) & 0xff00ff)
          | ((((under & 0xff00) * (256 - a) + green * a) >>> 8) & 0xff00)) >>> 0;
      }
    }
  }

  function draw() {
    waiting = false;
    const ratio = canvas.width / view.width || 1;
    // The half margin holds a shape of 1.3 radii.
    const r = Math.min(Math.round(radius() * ratio * 4) / 4, margin / 2 / 1.4);
    if (!image || image.width !== canvas.width + 2 * margin || image.height !== canvas.height + 2 * margin) {
      image = new ImageData(canvas.width + 2 * margin, canvas.height + 2 * margin);
      pixels = new Uint32Array(image.data.buffer);
    }
    pixels.fill(0xffffffff);
    const stamps = (size) => data.looks.map((_, group) => stamp(group, size, image.width));
    const hits = Math.min(found ? Math.max(1.6 * r, 4 * ratio) : r, margin / 2 / 1.4);
    const bright = (i) => shown(i) && (!found || found[i]);
    if (found || shownGroups.size) stampAll((i) => !bright(i), 26, stamps(r), ratio);
    stampAll(bright, 205, stamps(hits), ratio);
    pen.putImageData(image, -margin, -margin);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (chosen >= 0) drawChosen(r / ratio);
  }

  function drawChosen(r) {
    pen.lineWidth = 1;
    pen.strokeStyle = "#555";
    pen.beginPath();
    for (const j of nearest(chosen)) {
      pen.moveTo(screenX(chosen), screenY(chosen));
      pen.lineTo(screenX(j), screenY(j));
    }
    pen.stroke();
    pen.lineWidth = 2;
    pen.strokeStyle = "#000";
    for (const j of [chosen, ...nearest(chosen)]) {
      pen.beginPath();
      pen.arc(screenX(j), screenY(j), r + (j === chosen ? 5 : 2.5), 0, 7);
      pen.stroke();
    }
  }

  function redraw() {
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(draw);
    }
  }

  // ---- moving
  function whole() {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < n; i++) {
      left = Math.min(left, xy[2 * i]);
      right = Math.max(right, xy[2 * i]);
      low = Math.min(low, xy[2 * i + 1]);
      high = Math.max(high, xy[2 * i + 1]);
    }
    view.x = (left + right) / 2;
    view.y = (low + high) / 2;
    view.fit = Math.min(view.width / (right - left || 1), view.height / (high - low || 1)) * 0.92;
    view.scale = view.fit;
    redraw();
  }

  function zoom(factor, atX = view.width / 2, atY = view.height / 2) {
    const scale = Math.min(view.fit * 400, Math.max(view.fit * 0.3, view.scale * factor));
    view.x += (atX - view.width / 2) * (1 / view.scale - 1 / scale);
    view.y -= (atY - view.height / 2) * (1 / view.scale - 1 / scale);
    view.scale = scale;
    redraw();
  }

  function move(dx, dy) {
    view.x -= dx / view.scale;
    view.y += dy / view.scale;
    redraw();
  }

  function resize() {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    [view.width, view.height] = [box.width, box.height];
    [canvas.width, canvas.height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    redraw();
  }

  function centre(i) {
    view.x = xy[2 * i];
    view.y = xy[2 * i + 1];
    view.scale = Math.max(view.scale, view.fit * 3);
    redraw();
  }

  // ---- pointing
  function at(x, y) {
    let best = -1;
    let closest = Math.pow(radius() + 6, 2);
    for (let i = 0; i < n; i++) {
      const dx = screenX(i) - x, dy = screenY(i) - y;
      const distance = dx * dx + dy * dy;
      if (distance < closest && shown(i)) [best, closest] = [i, distance];
    }
    return best;
  }

  function hover(i, x, y) {
    hovered = i;
    const tooltip = $("#tooltip");
    tooltip.hidden = i < 0;
    canvas.classList.toggle("over", i >= 0);
    if (i < 0) return;
    tooltip.querySelector("strong").textContent = data.titles[i];
    tooltip.querySelector("span").textContent = data.fields[fieldOf[i]];
    const box = tooltip.getBoundingClientRect();
    tooltip.style.left = `${Math.max(4, Math.min(x + 14, view.width - box.width - 4))}px`;
    tooltip.style.top = `${y + 18 + box.height > view.height ? Math.max(4, y - box.height - 12) : y + 18}px`;
  }

  // ---- the side panel
  const nearest = (i) => neighbours.subarray(i * data.k, (i + 1) * data.k);

  function badge(group) {
    const image = document.createElement("canvas");
    image.width = image.height = 24;
    const source = shape(group, 8);
    image.getContext("2d").drawImage(source, 12 - source.width / 2, 12 - source.width / 2);
    return image;
  }

  function item(i) {
    const button = document.createElement("button");
    const text = document.createElement("span");
    text.textContent = data.titles[i];
    button.append(badge(groupOf[i]), text);
    button.title = data.fields[fieldOf[i]];
    button.addEventListener("click", () => {
      choose(i);
      centre(i);
    });
    const entry = document.createElement("li");
    entry.append(button);
    return entry;
  }

  function choose(i) {
    chosen = i;
    $("#chosen").hidden = i < 0;
    if (i >= 0) {
      $("#chosen .title").textContent = data.titles[i];
      $("#chosen .field").textContent = data.fields[fieldOf[i]];
      $("#nearest").hidden = data.k === 0;
      $("#chosen ol").replaceChildren(...Array.from(nearest(i), item));
    }
    redraw();
  }

  function search(text) {
    const words = plain(text).split(/\s+/).filter(Boolean);
    found = words.length ? Uint8Array.from(searchable, (title) => words.every((word) => title.includes(word))) : null;
    const hits = [];
    for (let i = 0; found && i < n; i++) if (found[i]) hits.push(i);
    const most = 100;
    $("#results").hidden = !found;
    $("#results h2").textContent = `${hits.length} found${hits.length > most ? `, first ${most} shown` : ""}`;
    $("#results ol").replaceChildren(...hits.slice(0, most).map(item));
    redraw();
    return hits;
  }

  function legend() {
    const sizes = new Uint32Array(data.groups.length);
    groupOf.forEach((group) => sizes[group]++);
    const entries = data.groups.map((name, group) => {
      const button = document.createElement("button");
      const text = document.createElement("span");
      const size = document.createElement("small");
      text.textContent = name;
      size.textContent = sizes[group].toLocaleString("en");
      button.append(badge(group), text, size);
      button.title = "Show this field; again to take it out";
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        const on = !shownGroups.delete(group);
        if (on) shownGroups.add(group);
        button.setAttribute("aria-pressed", String(on));
        $("#legend").classList.toggle("some", shownGroups.size > 0);
        redraw();
      });
      const entry = document.createElement("li");
      entry.append(button);
      return entry;
    });
    $("#legend ul").replaceChildren(...entries);
  }

  // ---- events
  const pointers = new Map();
  let travelled = 0;
  const local = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, local(event));
    if (pointers.size === 1) travelled = 0;
    hover(-1);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = local(event);
    const before = pointers.get(event.pointerId);
    if (!before) return hover(at(x, y), x, y);
    canvas.classList.add("moving");
    travelled += Math.hypot(x - before[0], y - before[1]);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const gap = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      zoom(gap([x, y]) / gap(before), (x + other[0]) / 2, (y + other[1]) / 2);
      move((x - before[0]) / 2, (y - before[1]) / 2);
    } else {
      move(x - before[0], y - before[1]);
    }
    pointers.set(event.pointerId, [x, y]);
  });
  const release = (event) => {
    const known = pointers.delete(event.pointerId);
    canvas.classList.remove("moving");
    if (event.type === "pointerup" && known && pointers.size === 0 && travelled < 4) choose(at(...local(event)));
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 30 : 1;
      zoom(Math.pow(1.0015, -event.deltaY * lines), ...local(event));
      hover(-1);
    },
    { passive: false },
  );
  canvas.addEventListener("dblclick", (event) => zoom(2, ...local(event)));
  canvas.addEventListener("keydown", (event) => {
    const step = 60;
    const actions = {
      "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: whole, Escape: () => choose(-1),
      ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0),
      ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step),
    };
    if (actions[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      actions[event.key]();
    }
  });
  $("#closer").addEventListener("click", () => zoom(1.6));
  $("#farther").addEventListener("click", () => zoom(1 / 1.6));
  $("#whole").addEventListener("click", whole);
  $("#search").addEventListener("input", (event) => search(event.target.value));
  $("#search").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const hits = search(event.target.value);
    if (hits.length) {
      choose(hits[0]);
      centre(hits[0]);
    }
  });
  new ResizeObserver(resize).observe(canvas);

  $("#count").textContent = `${n.toLocaleString("en")} papers`;
  legend();
  resize();
  whole();
  // For scripts and tests: where things are, read only.
  window.paperMap = Object.freeze({
    position: (i) => {
      const box = canvas.getBoundingClientRect();
      return [screenX(i) + box.left, screenY(i) + box.top];
    },
    state: () => ({ ...view, chosen, hovered, found: found && Array.from(found), shownGroups: [...shownGroups] }),
    draw,
    move,
  });
})();
