// @ts-check
/**
 * Where a stream is watched: the WebSocket, the application and the stream's name.
 *
 * @typedef {{ url: string, app: string, name: string }} Source
 */

const PAGES = /^\/(?:watch|embed)(?=\/)/;

/**
 * Reads the address of a stream: `/watch/app/name`, `/app/name`, or either as a full `http(s)` or `ws(s)` URL. The name is the
 * last part of the path, with the query; the application is what comes before it.
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
	const parts = url.pathname.replace(PAGES, "").split("/").filter((part) => part !== "");
	const name = parts.pop();
	if (!name || parts.length === 0) return undefined;
	const app = parts.join("/");
	return { url: `${protocol}//${url.host}/${app}`, app: decode(app), name: decode(name) + url.search };
}

/** @param {string} text */
function decode(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}
