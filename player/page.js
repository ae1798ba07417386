// @ts-check
/** What the pages have in common. */

import { LANGUAGES, chooseLanguage } from "./element/words.js";
import { Attribute } from "./names.js";
import { parseSource } from "./source.js";

/** A stream as the gateway lists it; see `/api/v1/streams`. @typedef {{ app: string, name: string, viewers: number, bits_per_second: number, online_seconds: number, video?: { codec: string, width?: number, height?: number } | null, audio?: { codec: string, sample_rate: number, channels: number } | null }} Stream */

const STREAMS = "/api/v1/streams";
/** What people call codecs, by how their strings begin. */
const CODECS = Object.freeze({ avc1: "H.264", avc3: "H.264", hvc1: "H.265", hev1: "H.265", av01: "AV1", vp09: "VP9", "mp4a.40": "AAC", opus: "Opus", ".mp3": "MP3", flac: "FLAC" });
const COPIED_MS = 1500;

/**
 * Attributes that the page's own query may set; what else is in it is the gateway's.
 *
 * @param {readonly string[]} attributes
 */
export function readAddress(attributes) {
	const query = new URLSearchParams(location.search);
	/** @type {[string, string][]} */
	const settings = [];
	for (const name of attributes) {
		const value = query.get(name);
		query.delete(name);
		if (value !== null) settings.push([name, value]);
	}
	const src = location.pathname.replace(/^\/(embed|compare)\//, "/watch/") + (query.size > 0 ? `?${query}` : "");
	const source = parseSource(src, location.href);
	return { src, settings, app: source?.app ?? "", name: source?.name.replace(/\?.*/, "") ?? "" };
}

/**
 * A player that speaks the visitor's language.
 *
 * @param {string} src
 * @param {readonly [string, string][]} settings attributes
 */
export function createPlayer(src, settings) {
	const player = /** @type {import("./element.js").HeadwaterPlayer} */ (document.createElement("headwater-player"));
	player.lang = chooseLanguage(navigator.languages);
	for (const [name, value] of settings) player.setAttribute(name, value);
	player.setAttribute(Attribute.SRC, src);
	return player;
}

/** The live streams. @returns {Promise<Stream[]>} */
export async function fetchStreams() {
	const answer = await fetch(STREAMS, { cache: "no-store" });
	if (!answer.ok) throw new Error(answer.statusText);
	return (await answer.json()).streams;
}

/**
 * The path of a stream's page of some kind.
 *
 * @param {string} kind `watch`, `embed`, `compare` or `keyframe`
 * @param {{ app: string, name: string }} stream
 */
export function pathOf(kind, { app, name }) {
	return `/${kind}/${[...app.split("/"), ...name.split("/")].map(encodeURIComponent).join("/")}`;
}

/** What is sent, in short. @param {Stream} stream */
export function describeMedia({ video, audio, bits_per_second: rate }) {
	const size = video?.height ? `${video.width}×${video.height}` : undefined;
	const codecs = [video, audio].filter((track) => track).map((track) => codecName(track?.codec ?? ""));
	return [size, codecs.join(" + ") || undefined, rate > 0 ? describeRate(rate) : undefined].filter((part) => part !== undefined);
}

/** @param {number} viewers */
export function describeViewers(viewers) {
	return `${new Intl.NumberFormat("en").format(viewers)} ${viewers === 1 ? "viewer" : "viewers"}`;
}

/** @param {number} seconds */
export function describeAge(seconds) {
	if (seconds < 60) return `${seconds} s`;
	if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
	return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min` : `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** Lets buttons with `data-copy` copy the text of the element of that id. */
export function enableCopying() {
	for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-copy]"))) {
		// Pages without TLS have no clipboard.
		button.hidden = !navigator.clipboard;
		button.addEventListener("click", async () => {
			await navigator.clipboard.writeText(byId(button.dataset.copy ?? "").textContent ?? "");
			button.textContent = "Copied";
			setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
		});
	}
}

/**
 * How the player is put into a page.
 *
 * @param {string} src
 * @param {string[]} attributes
 */
export function elementCode(src, attributes) {
	const script = `${location.origin}/player/element.js`;
	const tag = ["<headwater-player", `  src="${src}"`, `  ${attributes.join(" ")}`.trimEnd()].filter((line) => line !== "").join("\n");
	return `<script type="module" src="${script}"></script>\n${tag}></headwater-player>`;
}

/** @param {string} id */
export function byId(id) {
	const found = document.getElementById(id);
	if (!found) throw new Error(`the page has no ${id}`);
	return found;
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
export function make(tag, className, text = "") {
	const made = document.createElement(tag);
	made.className = className;
	made.textContent = text;
	return made;
}

/** @param {string} codec */
function codecName(codec) {
	const known = Object.entries(CODECS).find(([start]) => codec.toLowerCase().startsWith(start));
	return known ? known[1] : codec;
}

/** @param {number} bits a second */
function describeRate(bits) {
	return bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`;
}

/** Languages, for pages that let people choose. */
export { LANGUAGES };
