// @ts-check
/**
 * Where a stream is watched: the WebSocket, the application, the stream's name, and the credential, which goes nowhere but to
 * the gateway, in a message where the transport has such.
 *
 * @typedef {{ url: string, app: string, name: string, token?: string }} Source
 */

/** What the credential is called in queries and in `connect`. */
export const TOKEN = "token";

const PAGES = /^\/(?:watch|embed)(?=\/)/;

/**
 * Reads the address of a stream: `/watch/app/name`, `/app/name`, or either as a full `http(s)` or `ws(s)` URL. The name is the
 * last part of the path, with the query; the application is what comes before it. A `token` of the query is the credential.
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
	const token = url.searchParams.get(TOKEN);
	if (token !== null) url.searchParams.delete(TOKEN);
	const source = { url: `${protocol}//${url.host}/${app}`, app: decode(app), name: decode(name) + url.search };
	return token ? { ...source, token } : source;
}

/** @param {string} text */
function decode(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}
