// @ts-check
// The operator's page: asks for the figures and the streams once a second, and shows what has changed between two answers.

const EVERY = 1000;
const KEPT = 300;

/** @typedef {Map<string, {labels: Record<string, string>, value: number}[]>} Figures */

/** Reads OpenMetrics text: a sample a line. @param {string} text @returns {Figures} */
export function read(text) {
  const figures = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-z_]+)(?:\{(.*)\})? ([^ ]+)$/.exec(line);
    if (!match) continue;
    const [, name, inside = "", value] = match;
    const labels = Object.fromEntries([...inside.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, key, text]) => [key, text]));
    if (!figures.has(name)) figures.set(name, []);
    figures.get(name).push({ labels, value: Number(value) });
  }
  return figures;
}

/** The sum of a metric's samples. @param {Figures} figures @param {string} name @param {string} [transport] */
export function sum(figures, name, transport) {
  const samples = figures.get(`headwater_${name}`) ?? [];
  return samples.filter(({ labels }) => !transport || labels.transport === transport).reduce((all, { value }) => all + value, 0);
}

/**
 * A quantile, in seconds, of what a histogram counted between two answers: the bound that it is below.
 * @param {Figures} before @param {Figures} now @param {number} share @param {string} [transport]
 */
export function quantile(before, now, share, transport) {
  const counts = new Map();
  const add = (/** @type {Figures} */ figures, /** @type {number} */ sign) => {
    for (const { labels, value } of figures.get("headwater_delay_seconds_bucket") ?? []) {
      if (transport && labels.transport !== transport) continue;
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + sign * value);
    }
  };
  add(now, 1);
  add(before, -1);
  const bounds = [...counts].sort(([a], [b]) => a - b);
  const all = bounds.at(-1)?.[1] ?? 0;
  return all > 0 ? bounds.find(([, count]) => count >= share * all)?.[0] ?? NaN : NaN;
}

/** @type {Record<string, number[][]>} */
const series = { viewers: [], egress: [], delay: [], abandoned: [] };
/** @type {{figures: Figures, at: number} | undefined} */
let last;

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const round = (/** @type {number} */ value) => (Number.isFinite(value) ? value.toFixed(value < 10 && value % 1 ? 1 : 0) : "–");

/** @param {string} name @param {number[]} values */
function plot(name, values) {
  const points = series[name];
  points.push(values);
  if (points.length > KEPT) points.shift();
  element(name).textContent = values.map(round).join(", ");
  const most = Math.max(1, ...points.flat().filter(Number.isFinite)) * 1.1;
  const svg = element(`${name}-plot`);
  svg.setAttribute("viewBox", `0 0 ${KEPT} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  const lines = values.map((_, index) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    const at = (/** @type {number[]} */ all, /** @type {number} */ x) =>
      Number.isFinite(all[index]) ? [`${KEPT - points.length + x},${100 - (100 * all[index]) / most}`] : [];
    line.setAttribute("points", points.flatMap(at).join(" "));
    return line;
  });
  svg.replaceChildren(...lines);
}

/** @param {string} id @param {(string | number)[][]} rows */
function table(id, rows) {
  const body = /** @type {HTMLElement} */ (element(id).querySelector("tbody"));
  body.replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => Object.assign(document.createElement("td"), { textContent: String(cell) })));
    return row;
  }));
}

async function look() {
  const [text, { streams }, ready] = await Promise.all([
    fetch("/metrics").then((answer) => answer.text()),
    fetch("/api/v1/streams").then((answer) => answer.json()),
    fetch("/api/v1/ready").then((answer) => answer.json()),
  ]);
  const now = { figures: read(text), at: performance.now() };
  const before = last ?? now;
  last = now;
  const seconds = Math.max(0.001, (now.at - before.at) / 1000);
  const rate = (/** @type {string} */ name, /** @type {string} */ transport = "") =>
    (sum(now.figures, name, transport) - sum(before.figures, name, transport)) / seconds;
  plot("viewers", [sum(now.figures, "viewers")]);
  plot("egress", [(rate("sent_bytes_total") * 8) / 1e6]);
  plot("delay", [0.5, 0.99].map((share) => quantile(before.figures, now.figures, share) * 1000));
  plot("abandoned", [rate("abandoned_frames_total") + rate("skipped_frames_total")]);
  const transports = (now.figures.get("headwater_viewers") ?? []).map(({ labels }) => labels.transport).sort();
  table("transports", transports.map((transport) => {
    const delays = [0.5, 0.99].map((share) => round(quantile(before.figures, now.figures, share, transport) * 1000));
    const rtt = (sum(now.figures, "rtt_seconds_sum", transport) / sum(now.figures, "rtt_seconds_count", transport)) * 1000;
    const egress = (rate("sent_bytes_total", transport) * 8) / 1e6;
    return [transport, sum(now.figures, "viewers", transport), round(egress), delays.join(" / "), round(rtt)];
  }));
  table("streams", streams.map((/** @type {any} */ stream) => [
    `${stream.app}/${stream.name}`,
    stream.viewers,
    Math.round(stream.bits_per_second / 1000),
    stream.video ? `${stream.video.codec} ${stream.video.width ?? "?"}×${stream.video.height ?? "?"}` : "–",
    stream.audio ? `${stream.audio.codec} ${stream.audio.sample_rate / 1000} kHz` : "–",
    `${stream.online_seconds} s`,
  ]));
  element("state").textContent = ready.ready ? `ready, streams: ${streams.length}` : ready.reason;
  element("state").className = ready.ready ? "" : "bad";
}

async function watch() {
  try {
    await look();
  } catch {
    last = undefined;
    element("state").textContent = "no answer";
    element("state").className = "bad";
  }
  setTimeout(watch, EVERY);
}

if (globalThis.document) watch();
