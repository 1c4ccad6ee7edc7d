// Draws one pane into any 2D context: on the screen and into what is exported.

import { BOXES, css, ENTRIES } from "./colours.js";
import { hasFrame } from "./frames.js";
import { extentOf, placeImage, roundLength, short } from "./geometry.js";
import { basePart, partOf } from "./parts.js";
import { framesOf, legendOf, picturesOf } from "./pictures.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";
const MARGIN = 10;

/* A scene: {size, ratio, parts: [{layers, share: [from, to]}], reference, view, smooth, boxes,
   line, cursor}. Returns false where something is still to come. */
export function paintPane(context, scene) {
  const { size } = scene;
  context.save();
  context.beginPath();
  context.rect(0, 0, size.width, size.height);
  context.clip();
  context.fillStyle = "#08090a";
  context.fillRect(0, 0, size.width, size.height);
  const reference = extentOf(scene.reference);
  let whole = true;
  for (const part of scene.parts) whole = paintPart(context, scene, part) && whole;
  const first = scene.parts[0].layers[0].series;
  const place = placeImage(extentOf(first, scene.reference), reference, scene.view, size);
  paintMarks(context, scene, place);
  whole = paintInsets(context, scene) && whole;
  paintScale(context, scene, place, extentOf(first, scene.reference).known);
  const legend = scene.parts[0].layers.map(legendOf).find(Boolean)
    ?? scene.parts.at(-1).layers.map(legendOf).find(Boolean);
  if (legend) paintLegend(context, size, legend);
  context.restore();
  return whole;
}

// Everything that a scene takes frames for.
export const drawingsOf = (scene) => [
  ...scene.parts.flatMap((part) => partDrawings(scene, part)),
  ...insetsOf(scene).flatMap((inset) => inset.drawings),
];

function partDrawings(scene, { layers }) {
  return layers.map((layer) => {
    const extent = extentOf(layer.series, scene.reference);
    const place = placeImage(extent, extentOf(scene.reference), scene.view, scene.size);
    return { ...drawingOf(layer, place, scene, "pane"), base: baseOf(layer, place) };
  });
}

// All of a frame that is too large to be had at once in full detail.
function baseOf(layer, place) {
  const part = basePart(layer.series);
  if (!part.level || layer.kind === "consistency") return null;
  const referencePart = layer.reference && basePart(layer.reference);
  return { layer, place, part, referencePart, slot: "base" };
}

// Averages would hide errors that take turns in their sign.
function drawingOf(layer, place, frame, slot) {
  const hides = layer.kind === "error";
  const part = partOf(layer.series, place, frame, hides);
  const referencePart = layer.reference && partOf(layer.reference, place, frame, hides);
  return { layer, place, part, referencePart, slot };
}

function paintPart(context, scene, part) {
  const { size } = scene;
  const [from, to] = part.share;
  context.save();
  context.beginPath();
  context.rect(from * size.width, 0, (to - from) * size.width, size.height);
  context.clip();
  const whole = paintDrawings(context, scene, partDrawings(scene, part));
  context.restore();
  return whole;
}

function paintDrawings(context, scene, drawings) {
  let whole = true;
  for (const drawing of drawings) {
    const { x, y, width, height } = drawing.place;
    whole = whole && framesOf(drawing).every(hasFrame);
    for (const { canvas, span: { u0, v0, u1, v1 } } of picturesOf(drawing)) {
      context.save();
      if (u1 > 1 || v1 > 1) {
        context.beginPath();
        context.rect(x, y, width, height);
        context.clip();
      }
      const [wide, tall] = [(u1 - u0) * width, (v1 - v0) * height];
      smoothen(context, scene, wide / canvas.width);
      context.drawImage(canvas, x + u0 * width, y + v0 * height, wide, tall);
      context.restore();
    }
  }
  return whole;
}

// Pixels stay visible as squares unless asked otherwise; what shrinks is always averaged.
function smoothen(context, scene, magnification) {
  const shrinks = magnification * (scene.ratio ?? 1) < 1;
  context.imageSmoothingEnabled = scene.smooth || shrinks;
  context.imageSmoothingQuality = shrinks ? "medium" : "low";
}

const onScreen = (place, u, v) => [place.x + u * place.width, place.y + v * place.height];

function paintMarks(context, scene, place) {
  context.lineWidth = 1.5;
  scene.boxes.forEach((box, index) => {
    const [left, top] = onScreen(place, box.u0, box.v0);
    const [right, bottom] = onScreen(place, box.u1, box.v1);
    outline(context, BOXES[index], () =>
      context.strokeRect(left, top, right - left, bottom - top));
  });
  if (scene.line) {
    const start = onScreen(place, scene.line.u0, scene.line.v0);
    const end = onScreen(place, scene.line.u1, scene.line.v1);
    outline(context, "#ff8f6b", () => {
      context.beginPath();
      context.moveTo(...start);
      context.lineTo(...end);
      context.stroke();
    });
    for (const [x, y] of [start, end]) {
      context.fillStyle = "#ff8f6b";
      context.beginPath();
      context.arc(x, y, 3.5, 0, 2 * Math.PI);
      context.fill();
    }
  }
  if (scene.cursor) {
    const [x, y] = onScreen(place, scene.cursor.u, scene.cursor.v);
    outline(context, "#ffffff", () => {
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 10 * dx, y + 10 * dy);
      }
      context.stroke();
    });
  }
}

function outline(context, colour, stroke) {
  const { lineWidth } = context;
  context.strokeStyle = "rgb(0 0 0 / 0.65)";
  context.lineWidth = lineWidth + 2;
  stroke();
  context.strokeStyle = colour;
  context.lineWidth = lineWidth;
  stroke();
}

// What lies in each box, larger, at the same place of the pane however it is zoomed or moved.
function insetsOf(scene) {
  const { size, boxes, parts, ratio } = scene;
  const extent = extentOf(parts[0].layers[0].series, scene.reference);
  const longest = Math.min(0.4 * Math.min(size.width, size.height), 240);
  let bottom = size.height - MARGIN;
  return boxes.flatMap((box, index) => {
    const wide = (box.u1 - box.u0) * extent.width;
    const tall = (box.v1 - box.v0) * extent.height;
    const factor = longest / Math.max(wide, tall);
    const frame = { size: { width: wide * factor, height: tall * factor }, ratio };
    const place = {
      width: frame.size.width / (box.u1 - box.u0), height: frame.size.height / (box.v1 - box.v0),
    };
    Object.assign(place, { x: -box.u0 * place.width, y: -box.v0 * place.height });
    const insets = parts.map((part, at) => {
      const onRight = at === parts.length - 1;
      const lift = !onRight && index === 0 ? 26 : 0; // above the scale bar
      const drawings = partDrawings(scene, part).map((base) =>
        insetDrawing({ ...base, place }, frame, index));
      return { index, drawings, size: frame.size, y: bottom - frame.size.height - lift,
        x: onRight ? size.width - MARGIN - frame.size.width : MARGIN };
    });
    bottom -= frame.size.height + MARGIN;
    return insets;
  });
}

// Until its own frames are there, it shows those of the pane.
function insetDrawing(base, frame, index) {
  const own = drawingOf(base.layer, base.place, frame, `box ${index}`);
  const keys = (drawing) => framesOf(drawing).map(({ key }) => key).join();
  if (keys(own) === keys(base)) return base;
  return { ...own, slot: own.part.isWhole ? `box at level ${own.part.level}` : own.slot, base };
}

function paintInsets(context, scene) {
  let whole = true;
  for (const { index, drawings, size: { width, height }, x, y } of insetsOf(scene)) {
    context.save();
    context.translate(x, y);
    context.save();
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip();
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    whole = paintDrawings(context, scene, drawings) && whole;
    context.restore();
    context.lineWidth = 1.5;
    outline(context, BOXES[index], () => context.strokeRect(0, 0, width, height));
    context.restore();
  }
  return whole;
}

function paintScale(context, { size }, place, known) {
  if (!known) return;
  const length = roundLength(Math.min(size.width / 4, 140) / place.scale);
  const width = length * place.scale;
  const [x, y] = [MARGIN + 2, size.height - MARGIN - 4];
  context.lineWidth = 1.5;
  outline(context, "#ffffff", () => {
    context.beginPath();
    context.moveTo(x, y - 4);
    context.lineTo(x, y);
    context.lineTo(x + width, y);
    context.lineTo(x + width, y - 4);
    context.stroke();
  });
  write(context, `${short(length)} mm`, x + width + 7, y + 3);
}

export function write(context, text, x, y, { align = "left", weight = 500, px = 11 } = {}) {
  context.font = `${weight} ${px}px ${FONT}`;
  context.textAlign = align;
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 0.8)";
  context.strokeText(text, x, y);
  context.fillStyle = "#f2f4f5";
  context.fillText(text, x, y);
}

function paintLegend(context, size, { table, range, signed }) {
  const [width, height] = [Math.min(120, size.width / 3), 8];
  const [x, y] = [size.width - MARGIN - width, MARGIN];
  const gradient = context.createLinearGradient(x, 0, x + width, 0);
  for (let step = 0; step <= 16; step += 1) {
    gradient.addColorStop(step / 16, css(table[Math.round(step / 16 * (ENTRIES - 1))]));
  }
  context.fillStyle = gradient;
  context.fillRect(x, y, width, height);
  context.lineWidth = 1;
  context.strokeStyle = "rgb(255 255 255 / 0.35)";
  context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  write(context, signed ? `−${short(range, 2)}` : "0", x, y + 21);
  write(context, `${signed ? "+" : "≥ "}${short(range, 2)}`, x + width, y + 21, { align: "right" });
}
