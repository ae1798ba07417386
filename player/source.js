// @ts-check
/**
 * Where a stream is watched: the WebSocket, the application and the stream's name.
 *
 * @typedef {{ url: string, app: string, name: string }} Source
 */

const PAGES = /^\/(?:watch|embed)(?=\/)/;

/**
 * Reads the address of a stream: `/watch/app/name`, `/app/name`, or either as a full `http(s)` or `ws(s)` URL. The application is
 * one part of the path, the name may be several, and a query belongs to the name.
 *
 * @param {string} text
 * @param {string} base what a relative address is relative to
 * @returns {Source | undefined} nothing when it is no such address
 */
export function parseSource(text, base) {
	if (!URL.canParse(text, base)) return undefined;
	const url = new URL(text, base);
	const protocol = url.protocol.replace(/^http/, "ws");
	if (protocol !== "ws:" && protocol !== "wss:") return undefined;
	const [app, ...name] = url.pathname.replace(PAGES, "").split("/").filter((part) => part !== "");
	if (!app || name.length === 0) return undefined;
	return { url: `${protocol}//${url.host}/${app}`, app: decode(app), name: decode(name.join("/")) + url.search };
}

/** @param {string} text */
function decode(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}
