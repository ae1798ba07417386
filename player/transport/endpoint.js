// @ts-check
/** Where a gateway is to be reached by WebTransport: it says so in `/player/transports.json`, beside the player. */

/** How long the gateway may take to say so, in milliseconds. */
const PATIENCE_MS = 5000;

/** @typedef {{ port: number, path: string, format: string }} Offer */

/**
 * Asks for it. The certificate changes while pages are open, so that the answer is good for one connection.
 *
 * @param {import("../source.js").Source} source
 * @param {string} format one of `Format`
 * @param {AbortSignal} signal
 * @returns {Promise<import("./webtransport.js").Endpoint>}
 */
export async function findEndpoint(source, format, signal) {
	const url = new URL("/player/transports.json", httpAddress(source));
	const answer = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]), cache: "no-store" });
	if (!answer.ok) throw new Error(`the gateway does not tell its transports (status ${answer.status})`);
	const endpoint = readEndpoint(source, format, await answer.json());
	if (!endpoint) throw new Error(`the gateway offers no WebTransport for ${format}`);
	return endpoint;
}

/**
 * Reads the answer.
 *
 * @param {import("../source.js").Source} source
 * @param {string} format one of `Format`
 * @param {{ certificate_hashes?: string[] | null, webtransport?: Offer[] }} answer
 * @returns {import("./webtransport.js").Endpoint | undefined}
 */
export function readEndpoint(source, format, { certificate_hashes: hashes, webtransport = [] }) {
	const offer = webtransport.find((offer) => offer.format === format);
	if (!offer) return undefined;
	const url = httpAddress(source);
	url.protocol = "https:";
	url.port = String(offer.port);
	url.pathname = offer.path + url.pathname.slice(1);
	return { url: url.href, certificateHashes: hashes?.map(bytes) };
}

/** @param {import("../source.js").Source} source */
function httpAddress({ url }) {
	return new URL(url.replace(/^ws/, "http"));
}

/** @param {string} hex */
function bytes(hex) {
	return Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}
