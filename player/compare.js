// @ts-check
/** One stream over all transports, side by side. */

import "./element.js";
import { hasMediaSource } from "./media/mse.js";
import { Attribute, Decode, EventName, Transport } from "./names.js";
import { byId, createPlayer, make, readAddress } from "./page.js";
import { hasWebSocketStream } from "./transport/socket.js";
import { hasWebTransport } from "./transport/webtransport.js";

/** @typedef {import("./element.js").HeadwaterPlayer} Player */

const INTERVAL_MS = 500;
/** How much of a new delay counts, against the ones before: figures that jump are not read. */
const SMOOTHING = 0.2;
/** The least that a full bar stands for, in milliseconds. */
const MIN_SCALE_MS = 300;

/** What each is, and whether this browser has what it needs. */
const LANES = Object.freeze([
	{ transport: Transport.WEBTRANSPORT, title: "WebTransport", what: "flows on QUIC", has: hasWebTransport() },
	{ transport: Transport.RTWEBSOCKET, title: "RTWebSocket", what: "flows over a WebSocket", has: true },
	{ transport: Transport.RTWEBSOCKET_STREAM, title: "RTWebSocket, streamed", what: "flows over a WebSocketStream", has: hasWebSocketStream() },
	{ transport: Transport.WEBSOCKETSTREAM, title: "WebSocketStream", what: "fragmented MP4, no flows", has: hasWebSocketStream() && hasMediaSource },
	{ transport: Transport.WEBSOCKET, title: "WebSocket", what: "fragmented MP4, no flows", has: hasMediaSource },
]);

const { src, settings, app, name } = readAddress([Attribute.DECODE, Attribute.TRANSPORT]);
const decode = settings.find(([name]) => name === Attribute.DECODE)?.[1] ?? Decode.AUTO;
document.title = `${app}/${name} compared – Headwater`;
byId("title").textContent = `${app}/${name}`;

/** @param {typeof LANES[number]} lane */
function createLane({ transport, title, what, has }) {
	const root = make("article", "card lane");
	const heading = make("h2", "", title);
	const delay = document.createElement("output");
	delay.textContent = "–";
	delay.setAttribute("aria-label", `Delay over ${title}`);
	// Figures that change twice a second are no news.
	delay.setAttribute("aria-live", "off");
	const fill = document.createElement("span");
	const meter = make("div", "meter");
	meter.append(fill);
	const detail = make("div", "facts", "");
	detail.append(make("span", "", what));
	const info = make("div", "info");
	info.append(heading, delay, meter, detail);
	const player = has ? createPlayer(src, [[Attribute.TRANSPORT, transport], [Attribute.DECODE, decode], [Attribute.MUTED, ""], [Attribute.AUTOPLAY, ""]]) : undefined;
	root.append(player ?? make("p", "missing", "This browser does not have it, or only on pages with TLS."), info);
	byId("lanes").lastElementChild?.before(root);
	let smooth = NaN;
	player?.addEventListener(EventName.STATS, () => {
		if (!Number.isNaN(player.delay)) smooth = Number.isNaN(smooth) ? player.delay : smooth + SMOOTHING * (player.delay - smooth);
		if (player.readyState < 3) smooth = NaN;
		const { decode, rttMs, framesDropped = 0 } = player.stats ?? {};
		const facts = [what, decode, rttMs === undefined ? undefined : `round trip ${Math.round(rttMs)} ms`, framesDropped > 0 ? `${framesDropped} dropped` : undefined];
		detail.replaceChildren(...facts.filter((fact) => fact !== undefined).map((fact) => make("span", "", fact)));
	});
	return { root, delay, fill, delayMs: () => smooth };
}

const lanes = LANES.map(createLane);

/** Shows who is ahead. */
function rank() {
	const delays = lanes.map(({ delayMs }) => delayMs()).filter((ms) => !Number.isNaN(ms));
	const [best, scale] = [Math.min(...delays), Math.max(MIN_SCALE_MS, ...delays)];
	for (const { root, delay, fill, delayMs } of lanes) {
		const ms = delayMs();
		delay.textContent = Number.isNaN(ms) ? "–" : `${Math.round(ms)} ms`;
		fill.style.width = Number.isNaN(ms) ? "0" : `${((ms / scale) * 100).toFixed(1)}%`;
		root.classList.toggle("best", ms === best);
	}
}

setInterval(rank, INTERVAL_MS);
