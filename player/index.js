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

/** @param {Stream[]} streams */
function show(streams) {
	document.getElementById("streams")?.replaceChildren(...streams.map(item));
	say(streams.length === 0 ? "Nothing is live. Publish to rtmp://this-host/app/name and it appears here." : "");
}

/** @param {Stream} stream */
function item({ app, name, viewers, bits_per_second }) {
	const title = document.createElement("strong");
	title.textContent = `${app}/${name}`;
	const details = document.createElement("span");
	details.className = "faint";
	details.textContent = `${viewers === 1 ? "1 viewer" : `${viewers} viewers`} · ${(bits_per_second / 1e6).toFixed(1)} Mbit/s`;
	const link = document.createElement("a");
	link.href = `/watch/${title.textContent.split("/").map(encodeURIComponent).join("/")}`;
	link.append(title, details);
	const entry = document.createElement("li");
	entry.append(link);
	return entry;
}

/** @param {string} text */
function say(text) {
	const note = document.getElementById("note");
	if (note && note.textContent !== text) note.textContent = text;
}

refresh();
