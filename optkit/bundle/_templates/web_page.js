"use strict";

// One thread: several need a page that is served with isolation headers.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("ort/", document.baseURI).href;

const SIDE = 28;
const BOX = 20;
const INK = 0.2;

async function fetched(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} is missing`);
  return answer;
}

// Real inputs of raw values: (raw * scale - mean) / std, each step rounded to float32 as where the model was trained.
function real(raw, fed) {
  const whole = Math.abs(fed.scale) < 1 ? Math.round(1 / fed.scale) : 0;
  const divides = whole !== 0 && Math.abs(whole * fed.scale - 1) < 1e-9;
  const values = new Float32Array(raw.length);
  for (let i = 0; i < raw.length; i++) {
    let value = divides ? Math.fround(raw[i] / whole) : Math.fround(raw[i] * Math.fround(fed.scale));
    if (fed.mean.length) value = Math.fround(value - Math.fround(fed.mean[i % fed.mean.length]));
    if (fed.std.length) value = Math.fround(value / Math.fround(fed.std[i % fed.std.length]));
    values[i] = value;
  }
  return values;
}

async function outputs(model, raw) {
  const { session, settings } = model;
  const shape = settings.input.shape.map((axis) => (axis < 0 ? 1 : axis));
  const given = new ort.Tensor("float32", real(raw, settings.preprocessing), shape);
  const found = await session.run({ [settings.input.name]: given });
  return found[settings.output.name].data;
}

function largest(values) {
  return values.reduce((best, value, at) => (value > values[best] ? at : best), 0);
}

// Shares of the classes: outputs as they are, or softmax of logits.
function shares(values, task) {
  if (task.outputs !== "logits") return Array.from(values);
  const most = Math.max(...values);
  const powers = Array.from(values, (value) => Math.exp(value - most));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

// One line for each class; without values, empty ones.
function showShares(labels, values) {
  const best = values === null ? -1 : largest(values);
  const lines = labels.map((label, at) => {
    const share = values === null ? 0 : Math.min(1, Math.max(0, values[at]));
    const line = document.createElement("li");
    const [name, bar, number] = ["span", "div", "span"].map((kind) => line.appendChild(document.createElement(kind)));
    bar.className = "bar";
    bar.appendChild(document.createElement("i")).style.width = `${100 * share}%`;
    name.textContent = label;
    number.textContent = values === null ? "" : `${(100 * share).toFixed(1)} %`;
    if (at === best) line.className = "first";
    return line;
  });
  document.getElementById("bars").replaceChildren(...lines);
}

async function selfTest(model) {
  const { settings } = model;
  const raw = new Float32Array(await (await fetched("test/raw.bin")).arrayBuffer());
  const expected = new Float32Array(await (await fetched("test/outputs.bin")).arrayBuffer());
  const size = raw.length / settings.examples;
  const width = expected.length / settings.examples;
  let worst = 0;
  let differing = 0;
  let most = 0;
  const started = performance.now();
  for (let example = 0; example < settings.examples; example++) {
    const found = await outputs(model, raw.subarray(example * size, (example + 1) * size));
    const before = expected.subarray(example * width, (example + 1) * width);
    for (let i = 0; i < width; i++) {
      const apart = Math.abs(found[i] - before[i]);
      worst = Number.isNaN(apart) ? Infinity : Math.max(worst, apart);
      most = Math.max(most, Math.abs(before[i]));
    }
    if (settings.task.kind === "multiclass" && largest(found) !== largest(before)) differing++;
  }
  const milliseconds = (performance.now() - started) / settings.examples;
  const limit = settings.tolerance.absolute + settings.tolerance.relative * most;
  return { passed: worst <= limit && differing === 0, worst, limit, differing, milliseconds };
}

// As MNIST was made: the ink cut out, scaled into 20×20, its centre of mass in the middle of 28×28.
function digit(sheet) {
  const { width, height } = sheet;
  const pixels = sheet.getContext("2d").getImageData(0, 0, width, height).data;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (pixels[4 * (y * width + x)] > 255 * INK) {
        [left, right] = [Math.min(left, x), Math.max(right, x)];
        [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      }
    }
  }
  if (right < 0) return null;
  const [cutWidth, cutHeight] = [right - left + 1, bottom - top + 1];
  const scale = BOX / Math.max(cutWidth, cutHeight);
  const [columns, rows] = [Math.max(1, Math.round(cutWidth * scale)), Math.max(1, Math.round(cutHeight * scale))];
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns, rows];
  const pen = small.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(sheet, left, top, cutWidth, cutHeight, 0, 0, columns, rows);
  const ink = pen.getImageData(0, 0, columns, rows).data;
  let [total, massX, massY] = [0, 0, 0];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const value = ink[4 * (y * columns + x)];
      total += value;
      massX += value * x;
      massY += value * y;
    }
  }
  const place = (mass, size) => Math.min(Math.max(0, Math.round(SIDE / 2 - mass / Math.max(total, 1))), SIDE - size);
  const [startX, startY] = [place(massX, columns), place(massY, rows)];
  const raw = new Float32Array(SIDE * SIDE);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) raw[(startY + y) * SIDE + startX + x] = ink[4 * (y * columns + x)];
  }
  return raw;
}

function draws(model) {
  const sheet = document.getElementById("sheet");
  const pen = sheet.getContext("2d", { willReadFrequently: true });
  const answer = document.getElementById("answer");
  const clear = () => {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, sheet.width, sheet.height);
    answer.textContent = "–";
    showShares(model.settings.labels, null);
    asked++;
  };
  let last = null;
  // An answer that comes after the next stroke, or after the sheet was cleared, is not shown.
  let asked = 0;
  const stroke = (from, to) => {
    Object.assign(pen, { strokeStyle: "#fff", lineWidth: 20, lineCap: "round", lineJoin: "round" });
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  };
  const point = (event) => {
    const box = sheet.getBoundingClientRect();
    return [((event.clientX - box.left) * sheet.width) / box.width, ((event.clientY - box.top) * sheet.height) / box.height];
  };
  sheet.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    last = point(event);
    stroke(last, last);
    sheet.setPointerCapture(event.pointerId);
  });
  sheet.addEventListener("pointermove", (event) => {
    if (last === null || !event.isPrimary) return;
    const now = point(event);
    stroke(last, now);
    last = now;
  });
  const done = async (event) => {
    if (last === null || !event.isPrimary) return;
    last = null;
    const raw = digit(sheet);
    if (raw === null) return;
    const number = ++asked;
    const found = shares(await outputs(model, raw), model.settings.task);
    if (number !== asked) return;
    answer.textContent = model.settings.labels[largest(found)] ?? String(largest(found));
    showShares(model.settings.labels, found);
  };
  sheet.addEventListener("pointerup", done);
  sheet.addEventListener("pointercancel", done);
  document.getElementById("clear").addEventListener("click", clear);
  clear();
  document.getElementById("drawing").hidden = false;
}

async function main() {
  const outcome = document.getElementById("outcome");
  try {
    const settings = await (await fetched("settings.json")).json();
    document.getElementById("name").textContent = `${settings.name}, trained on ${settings.trained_on}`;
    document.title = settings.name;
    const content = await (await fetched("model.onnx")).arrayBuffer();
    const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
    const model = { session, settings };
    if (settings.draws) draws(model);
    const found = await selfTest(model);
    outcome.className = found.passed ? "passed" : "failed";
    outcome.textContent =
      `${found.passed ? "PASSED" : "FAILED"}: ${settings.examples} examples, ${found.differing} answered otherwise; ` +
      `largest difference ${found.worst.toExponential(1)}, limit ${found.limit.toExponential(1)}; ` +
      `${found.milliseconds.toFixed(2)} ms each`;
  } catch (error) {
    outcome.className = "failed";
    outcome.textContent = `FAILED: ${error.message}`;
  }
}

main();
