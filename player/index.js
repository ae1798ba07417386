// @ts-check
/** The list of live streams, kept fresh. */

const STREAMS = "/api/v1/streams";
const INTERVAL_MS = 2000;

/** @typedef {{ app: string, name: string, viewers: number, bits_per_second: number }} Stream */

/** Asks for the list, shows it, and comes back. */
async function refresh() {
	try {
		const answer = await fetch(STREAMS, { cache: "no-store" });
		if (!answer.ok) throw new Error(answer.statusText);
		show((await answer.json()).streams);
	} catch {
		say("The gateway does not answer. Trying again …");
	}
	setTimeout(refresh, INTERVAL_MS);
}

/**
 * What is listed, by address. Entries stay, so that the one that has the focus keeps it.
 *
 * @type {Map<string, { entry: HTMLElement, details: HTMLElement }>}
 */
const listed = new Map();

/** @param {Stream[]} streams */
function show(streams) {
	const entries = streams.map((stream) => /** @type {const} */ ([address(stream), stream])).toSorted(([a], [b]) => (a < b ? -1 : 1));
	const list = document.getElementById("streams");
	for (const [url, { entry }] of listed) {
		if (entries.some(([other]) => other === url)) continue;
		entry.remove();
		listed.delete(url);
	}
	entries.forEach(([url, stream], place) => {
		const item = listed.get(url) ?? add(url, stream);
		item.details.textContent = describe(stream);
		if (list?.children[place] !== item.entry) list?.insertBefore(item.entry, list.children[place] ?? null);
	});
	say(streams.length === 0 ? "Nothing is live. Publish to rtmp://this-host/app/name and it appears here." : "");
}

/**
 * @param {string} url
 * @param {Stream} stream
 */
function add(url, { app, name }) {
	const title = document.createElement("strong");
	title.textContent = `${app}/${name}`;
	const details = document.createElement("span");
	details.className = "faint";
	const link = document.createElement("a");
	link.href = url;
	link.append(title, details);
	const entry = document.createElement("li");
	entry.append(link);
	const item = { entry, details };
	listed.set(url, item);
	return item;
}

/** @param {Stream} stream */
function address({ app, name }) {
	return `/watch/${[...app.split("/"), name].map(encodeURIComponent).join("/")}`;
}

/** @param {Stream} stream */
function describe({ viewers, bits_per_second }) {
	return `${viewers} ${viewers === 1 ? "viewer" : "viewers"} · ${(bits_per_second / 1e6).toFixed(1)} Mbit/s`;
}

/** @param {string} text */
function say(text) {
	const note = document.getElementById("note");
	if (note && note.textContent !== text) note.textContent = text;
}

refresh();
