// @ts-check
/** The list of live streams, kept fresh. */

import { byId, describeAge, describeMedia, describeViewers, enableCopying, fetchStreams, make, pathOf } from "./page.js";
import { Thumbnails } from "./thumbnails.js";

/** @typedef {import("./page.js").Stream} Stream */

const INTERVAL_MS = 2000;

/**
 * What is listed, by address. Entries stay, so that the one that has the focus keeps it.
 *
 * @type {Map<string, ReturnType<typeof createCard>>}
 */
const listed = new Map();
const thumbnails = new Thumbnails();

/** Asks for the list, shows it, and comes back. */
async function refresh() {
	try {
		// Nobody sees a hidden page.
		if (document.visibilityState === "visible") show(await fetchStreams());
	} catch {
		say("The gateway does not answer. Trying again …");
	}
	setTimeout(refresh, INTERVAL_MS);
}

/** @param {Stream[]} streams */
function show(streams) {
	const entries = streams.map((stream) => /** @type {const} */ ([pathOf("watch", stream), stream])).toSorted(([a], [b]) => (a < b ? -1 : 1));
	const list = byId("streams");
	for (const [url, { root, canvas }] of listed) {
		if (entries.some(([other]) => other === url)) continue;
		thumbnails.forget(canvas);
		root.remove();
		listed.delete(url);
	}
	entries.forEach(([url, stream], place) => {
		const card = listed.get(url) ?? createCard(url, stream);
		listed.set(url, card);
		card.show(stream);
		if (list.children[place] !== card.root) list.insertBefore(card.root, list.children[place] ?? null);
	});
	byId("empty").hidden = streams.length > 0;
	say(streams.length === 0 ? "" : `${streams.length} ${streams.length === 1 ? "stream" : "streams"}`);
}

/**
 * @param {string} url
 * @param {Stream} stream
 */
function createCard(url, stream) {
	const canvas = document.createElement("canvas");
	const [watching, age] = [make("span", "watching"), make("span", "age")];
	const thumb = make("div", "thumb");
	thumb.append(canvas, make("span", "badge", "LIVE"), watching, age);
	const facts = make("div", "facts");
	const title = make("strong", "");
	title.append(make("span", "faint", `${stream.app}/`), stream.name);
	const info = make("div", "info");
	info.append(title, facts);
	const link = document.createElement("a");
	link.href = url;
	link.append(thumb, info);
	const root = make("li", "card");
	root.append(link);
	thumbnails.watch(canvas, pathOf("keyframe", stream));
	/** @param {Stream} stream */
	const show = (stream) => {
		watching.textContent = describeViewers(stream.viewers);
		age.textContent = describeAge(stream.online_seconds);
		facts.replaceChildren(...describeMedia(stream).map((fact) => make("span", "", fact)));
	};
	return { root, canvas, show };
}

/** @param {string} text */
function say(text) {
	const note = byId("note");
	if (note.textContent !== text) note.textContent = text;
}

const server = `rtmp://${location.hostname}/live`;
byId("server").textContent = server;
byId("ffmpeg").textContent = `ffmpeg -re -f lavfi -i testsrc2=s=1280x720:r=30 \\
  -f lavfi -i sine=f=440 -c:a aac \\
  -c:v libx264 -preset veryfast -tune zerolatency \\
  -pix_fmt yuv420p -g 30 -b:v 2500k \\
  -f flv ${server}/test`;
enableCopying();
refresh();
