// @ts-check
/** The page of one stream: the player for the page's own path. */

import "./element.js";
import { Attribute } from "./names.js";
import { parseSource } from "./source.js";

// The page takes its own settings out of the query; what is left is the gateway's.
const query = new URLSearchParams(location.search);
const player = document.createElement("headwater-player");
for (const name of [Attribute.TRANSPORT, Attribute.DECODE]) {
	const value = query.get(name);
	query.delete(name);
	if (value !== null) player.setAttribute(name, value);
}
const address = location.pathname + (query.size > 0 ? `?${query}` : "");

const source = parseSource(address, location.href);
const title = source ? `${source.app}/${source.name}` : "No such stream";
document.title = title;
const heading = document.getElementById("title");
if (heading) heading.textContent = title;

player.setAttribute(Attribute.SRC, address);
player.setAttribute(Attribute.AUTOPLAY, "");
document.getElementById("player")?.append(player);
