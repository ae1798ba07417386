// @ts-check
/** The page of one stream: the player for the page's own path, what is known of the stream, and how to embed it. */

import "./element.js";
import { Attribute, EventName } from "./names.js";
import { byId, createPlayer, describeAge, describeMedia, describeViewers, elementCode, enableCopying, fetchStreams, make, pathOf, readAddress } from "./page.js";

const INTERVAL_MS = 3000;

const { src, settings, app, name } = readAddress([Attribute.TRANSPORT, Attribute.DECODE, Attribute.TARGET_DELAY, Attribute.AUDIO_ONLY, Attribute.STATS]);
const title = `${app}/${name}`;
document.title = `${title} – Headwater`;
byId("title").textContent = title;
const player = createPlayer(src, [...settings, [Attribute.CONTROLS, ""], [Attribute.AUTOPLAY, ""]]);
byId("player").append(player);

/** Shows what is known of the stream. */
async function refresh() {
	const streams = document.visibilityState === "visible" ? await fetchStreams().catch(() => undefined) : undefined;
	if (!streams) return;
	const stream = streams.find((stream) => stream.app === app && stream.name === name);
	const facts = stream ? [describeViewers(stream.viewers), ...describeMedia(stream), describeAge(stream.online_seconds)] : [];
	const live = make("li", stream ? "badge" : "badge off", stream ? "LIVE" : "OFF AIR");
	byId("facts").replaceChildren(live, ...facts.map((fact) => make("li", "", fact)));
}

const here = { app, name };
/** @type {HTMLAnchorElement} */ (byId("compare")).href = pathOf("compare", here) + location.search;
byId("element-code").textContent = elementCode(location.origin + pathOf("watch", here), ["autoplay", "muted", "controls"]);
byId("frame-code").textContent = `<iframe src="${location.origin}${pathOf("embed", here)}" width="640" height="360"\n  allow="autoplay; fullscreen; picture-in-picture"></iframe>`;
const share = byId("share");
share.addEventListener("click", () => {
	const panel = byId("embed");
	panel.hidden = !panel.hidden;
	share.setAttribute("aria-expanded", String(!panel.hidden));
	if (!panel.hidden) panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
});
enableCopying();
setInterval(refresh, INTERVAL_MS);
// This viewer counts, too.
player.addEventListener(EventName.PLAYING, refresh);
refresh();
