// @ts-check
/** Figures over the picture, for whoever wants to know how the stream is doing. */

/** @typedef {import("../viewer.js").Stats} Stats */
/** @typedef {import("./words.js").Words} Words */

const SVG = "http://www.w3.org/2000/svg";
/** How many delays the curve shows: a minute, at four a second. */
const HISTORY = 240;
const CURVE = Object.freeze({ width: 240, height: 36 });
/** The least that the curve's height stands for, in milliseconds: jitter is no mountain. */
const MIN_SCALE_MS = 200;

/** The panel. */
export class StatsPanel {
	/** What is put onto the player. */
	root = document.createElement("div");

	#list = document.createElement("dl");
	#race = document.createElement("p");
	#curve = document.createElementNS(SVG, "polyline");
	/** @type {number[]} */
	#delays = [];

	constructor() {
		this.root.className = "stats";
		this.root.setAttribute("part", "stats");
		this.root.hidden = true;
		const chart = document.createElementNS(SVG, "svg");
		chart.setAttribute("viewBox", `0 0 ${CURVE.width} ${CURVE.height}`);
		chart.setAttribute("preserveAspectRatio", "none");
		chart.setAttribute("aria-hidden", "true");
		chart.append(this.#curve);
		this.#race.className = "race";
		this.root.append(this.#list, chart, this.#race);
	}

	/**
	 * Takes new figures; shows them if it's open.
	 *
	 * @param {Stats} stats
	 * @param {Words} words
	 */
	update(stats, words) {
		if (stats.delayMs !== undefined) this.#delays.push(stats.delayMs);
		if (this.#delays.length > HISTORY) this.#delays.shift();
		if (this.root.hidden) return;
		const rows = describe(stats, words);
		while (this.#list.children.length < rows.length * 2) this.#list.append(document.createElement("dt"), document.createElement("dd"));
		rows.flat().forEach((text, place) => {
			const cell = this.#list.children[place];
			if (cell.textContent !== text) cell.textContent = text;
		});
		this.#race.textContent = stats.race.map(({ transport, startedMs, endedMs, end }) => `${transport} ${Math.round(startedMs)}–${endedMs === undefined ? "…" : Math.round(endedMs)} ms ${end ?? "…"}`).join(" · ");
		const scale = Math.max(MIN_SCALE_MS, ...this.#delays) * 1.1;
		const points = this.#delays.map((ms, i) => `${((i + HISTORY - this.#delays.length) * CURVE.width) / HISTORY},${(CURVE.height * (1 - ms / scale)).toFixed(1)}`);
		this.#curve.setAttribute("points", points.join(" "));
	}
}

/**
 * @param {Stats} stats
 * @param {Words} words
 * @returns {[string, string][]}
 */
function describe(stats, words) {
	const { transport, decode, width, height, delayMs, targetMs, bufferMs, rttMs, framesShown, framesDropped, skewMs, gaps, underruns } = stats;
	return [
		[words.say("delay"), words.time(delayMs)],
		[words.say("target"), words.time(targetMs)],
		[words.say("buffer"), words.time(bufferMs)],
		[words.say("roundTrip"), words.time(rttMs)],
		[words.say("transport"), transport ?? "–"],
		[words.say("decoder"), decode],
		[words.say("picture"), width > 0 ? `${width} × ${height}` : "–"],
		[words.say("frames"), `${words.number(framesShown)}, ${words.number(framesDropped)}`],
		[words.say("skew"), words.time(skewMs)],
		[words.say("lost"), `${words.number(gaps)}, ${words.number(underruns)}`],
	];
}
