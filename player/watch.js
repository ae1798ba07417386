// @ts-check
/** The page of one stream: the player for the page's own path. */

import "./element.js";
import { Attribute } from "./names.js";
import { parseSource } from "./source.js";

const source = parseSource(location.href, location.href);
const title = source ? `${source.app}/${source.name}` : "No such stream";
document.title = title;
const heading = document.getElementById("title");
if (heading) heading.textContent = title;

const player = document.createElement("headwater-player");
player.setAttribute(Attribute.SRC, location.pathname + location.search);
player.setAttribute(Attribute.AUTOPLAY, "");
document.getElementById("player")?.append(player);
