// The comparison as a moving picture, made here from what the page draws: GIF and MP4.

import { byId } from "./dom.js";
import { labelOf, root } from "./family.js";
import { loadFrame } from "./frames.js";
import { GifWriter } from "./gif.js";
import { announce, report } from "./notices.js";
import { VideoWriter, videoObstacle } from "./video.js";
import { paintPane, write } from "./painting.js";
import { stepMs } from "./player.js";
import { framesWanted, isPair, partsOfPanes, phases, settings, shown } from "./scene.js";
import { paneSizes } from "./stage.js";
import { set, state } from "./store.js";

const NOTE = "Detail is predicted. Research use only.";
const NOTE_PX = 24;
const STILL_MS = 700;
const MOST_GIF_FRAMES = 400;

const dialog = byId("save-dialog");
let stopped = false;

export function startExporting() {
  byId("save-comparison").addEventListener("click", show);
  byId("save-stop").addEventListener("click", () => { stopped = true; });
  byId("save-form").addEventListener("submit", (event) => {
    event.preventDefault();
    save(new FormData(event.target));
  });
  dialog.addEventListener("cancel", () => { stopped = true; });
}

async function show() {
  const obstacle = await videoObstacle();
  byId("save-mp4").disabled = Boolean(obstacle);
  byId("save-mp4-why").textContent = obstacle ?? "";
  if (obstacle) byId("save-gif").checked = true;
  progress(null);
  dialog.showModal();
}

// As on the screen: the same panes with the same shape, at the asked width.
function layout(width) {
  const count = isPair() ? 1 : shown().length;
  const across = count === 4 ? 2 : count;
  const down = Math.ceil(count / across);
  const [first] = paneSizes();
  const pane = Math.floor(width / across);
  const tall = Math.round(pane * first.height / first.width);
  const even = (size) => 2 * Math.ceil(size / 2); // Video codecs halve the colours' resolution.
  const size = { width: pane - (across > 1 ? 2 : 0), height: tall };
  return { across, pane, tall, size, screen: { sizes: Array(count).fill(size), ratio: 1 },
    width: even(pane * across), height: even(tall * down + NOTE_PX) };
}

function captions() {
  const names = shown().map(labelOf);
  if (!isPair()) return names.map((name) => [name, ""]);
  if (state.mode === "divider") return [[names[0], names[1]]];
  if (state.mode === "blink") return [[names[state.blinkSide], ""]];
  return [[`${names[1]} less ${names[0]}`, ""]];
}

function compose(context, { across, pane, tall, size, width, height }) {
  context.fillStyle = "#08090a";
  context.fillRect(0, 0, width, height);
  const labels = captions();
  partsOfPanes().forEach((parts, index) => {
    context.save();
    context.translate((index % across) * pane, Math.floor(index / across) * tall);
    paintPane(context, { ...settings(), cursor: null, parts, size });
    write(context, labels[index][0], 10, 20, { weight: 600, px: 13 });
    write(context, labels[index][1], size.width - 10, 20, { align: "right", weight: 600, px: 13 });
    context.restore();
  });
  write(context, NOTE, width / 2, height - 8, { align: "center" });
}

// Every phase once; in blink both sides, one after the other.
function moments() {
  const times = Array.from({ length: phases() }, (_, time) => time);
  const sides = state.mode === "blink" && isPair() ? [0, 1] : [state.blinkSide];
  const ms = phases() > 1 ? stepMs() : STILL_MS;
  return sides.flatMap((side) => times.map((time) => ({ time, side, ms })));
}

async function save(form) {
  const plan = layout(Number(form.get("size")));
  const context = new OffscreenCanvas(plan.width, plan.height).getContext("2d",
    { willReadFrequently: true });
  const kind = form.get("format");
  const all = moments();
  const before = { time: state.time, blinkSide: state.blinkSide, playing: state.playing };
  stopped = false;
  set({ playing: false });
  progress(0);
  try {
    if (kind === "gif" && all.length > MOST_GIF_FRAMES) {
      throw new Error(`A GIF of ${all.length} frames would be very large; choose MP4.`);
    }
    const writer = kind === "gif" ? new GifWriter(plan) : await VideoWriter.make(plan);
    for (const [index, moment] of all.entries()) {
      await Promise.all(framesWanted(moment.time, plan.screen).map(loadFrame));
      if (stopped) return;
      set({ time: moment.time, blinkSide: moment.side });
      compose(context, plan);
      await writer.add(context, moment.ms);
      progress((index + 1) / all.length);
      await new Promise((resolve) => setTimeout(resolve));
    }
    hand(await writer.finish(), kind);
    announce("The comparison is saved");
    dialog.close();
  } catch (error) {
    dialog.close();
    report(error);
  } finally {
    set(before);
    progress(null);
  }
}

function hand(blob, kind) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${root().name.replace(/(\.nii)?\.\w+$/, "")}_comparison.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function progress(share) {
  byId("save-progress").hidden = share === null;
  byId("save-bar").value = share ?? 0;
  byId("save-start").disabled = share !== null;
}
