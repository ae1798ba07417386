// @ts-check
/** The live example: attributes to try, and the events that follow. */

import "./element.js";
import { Attribute, Decode, EventName, Transport } from "./names.js";
import { LANGUAGES, byId, elementCode, enableCopying, fetchStreams, make, pathOf } from "./page.js";

/** Those that come all the time would bury the others. @type {readonly string[]} */
const FREQUENT = Object.freeze([EventName.STATS, EventName.TIME_UPDATE, EventName.DELAY_CHANGE]);
const MAX_LOG = 100;
const FLAGS = Object.freeze([Attribute.CONTROLS, Attribute.MUTED, Attribute.AUTOPLAY, Attribute.STATS, Attribute.AUDIO_ONLY]);
/** @type {Readonly<Record<string, readonly string[]>>} */
const CHOICES = Object.freeze({ [Attribute.TRANSPORT]: Object.values(Transport), [Attribute.DECODE]: Object.values(Decode), [Attribute.TARGET_DELAY]: ["", "100", "500", "2000"], lang: ["", ...LANGUAGES] });

const player = /** @type {import("./element.js").HeadwaterPlayer} */ (byId("player"));

function showCode() {
	const own = player.getAttributeNames().filter((name) => ![Attribute.SRC, "id", "class"].includes(name));
	const attributes = own.map((name) => (player.getAttribute(name) === "" ? name : `${name}="${player.getAttribute(name)}"`));
	byId("code").textContent = elementCode(player.currentSrc || "/watch/live/name", attributes);
}

/**
 * @param {string} name
 * @param {HTMLInputElement | HTMLSelectElement} field
 * @param {() => void} apply
 */
function offer(name, field, apply) {
	const label = make("label", "", name);
	field.addEventListener("change", apply);
	label.append(field);
	byId("try").append(label);
}

for (const name of FLAGS) {
	const box = document.createElement("input");
	box.type = "checkbox";
	box.checked = player.hasAttribute(name);
	offer(name, box, () => player.toggleAttribute(name, box.checked));
}
for (const [name, values] of Object.entries(CHOICES)) {
	const select = document.createElement("select");
	for (const value of values) select.add(new Option(value === "" ? "–" : value, value));
	offer(name, select, () => (select.value === "" ? player.removeAttribute(name) : player.setAttribute(name, select.value)));
}
for (const name of Object.values(EventName)) {
	if (FREQUENT.includes(name)) continue;
	player.addEventListener(name, (event) => {
		const { detail } = /** @type {CustomEvent} */ (event);
		const log = byId("log");
		const entry = make("li", "", "");
		entry.append(make("b", "", name), " ", describe(detail));
		log.prepend(entry);
		while (log.children.length > MAX_LOG) log.lastChild?.remove();
	});
}

/** @param {unknown} detail of an event */
function describe(detail) {
	if (detail === undefined || detail === null) return "";
	return typeof detail === "object" ? Object.entries(detail).flatMap(([name, value]) => (typeof value === "object" ? [] : `${name} ${value}`)).join(" · ") : String(detail);
}

new MutationObserver(showCode).observe(player, { attributes: true });
enableCopying();
showCode();
// The first stream that there is.
fetchStreams().catch(() => []).then(([first]) => {
	player.src = pathOf("watch", first ?? { app: "live", name: "demo" });
});
