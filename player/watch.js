// @ts-check
/** The page of one stream: the player for the page's own path, what is known of the stream, and how to embed it. */

import "./element.js";
import { Attribute } from "./names.js";
import { byId, createPlayer, describeAge, describeMedia, describeViewers, elementCode, enableCopying, fetchStreams, make, pathOf, readAddress } from "./page.js";

const INTERVAL_MS = 3000;

const { src, settings, app, name } = readAddress([Attribute.TRANSPORT, Attribute.DECODE, Attribute.TARGET_DELAY, Attribute.AUDIO_ONLY, Attribute.STATS]);
const title = `${app}/${name}`;
document.title = `${title} – Headwater`;
byId("title").textContent = title;
byId("player").append(createPlayer(src, [...settings, [Attribute.CONTROLS, ""], [Attribute.AUTOPLAY, ""]]));

/** What is known of the stream, kept fresh. */
async function refresh() {
	const streams = document.visibilityState === "visible" ? await fetchStreams().catch(() => undefined) : undefined;
	const stream = streams?.find((stream) => stream.app === app && stream.name === name);
	if (streams) {
		const facts = stream ? [describeViewers(stream.viewers), ...describeMedia(stream), describeAge(stream.online_seconds)] : [];
		const live = make("li", stream ? "live" : "", stream ? "Live" : "Not live");
		byId("facts").replaceChildren(live, ...facts.map((fact) => make("li", "", fact)));
	}
	setTimeout(refresh, INTERVAL_MS);
}

const here = { app, name };
/** @type {HTMLAnchorElement} */ (byId("compare")).href = pathOf("compare", here) + location.search;
byId("element-code").textContent = elementCode(location.origin + pathOf("watch", here), " autoplay muted controls");
byId("frame-code").textContent = `<iframe src="${location.origin}${pathOf("embed", here)}" allow="autoplay; fullscreen; picture-in-picture" width="640" height="360"></iframe>`;
const share = byId("share");
share.addEventListener("click", () => {
	const panel = byId("embed");
	panel.hidden = !panel.hidden;
	share.setAttribute("aria-expanded", String(!panel.hidden));
	if (!panel.hidden) panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
});
enableCopying();
refresh();
