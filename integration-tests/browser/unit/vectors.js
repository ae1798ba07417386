// @ts-check
/** The wire vectors, shared with the Rust tests. */

import { readFileSync } from "node:fs";

/** @typedef {{ name: string, direction: string, hex: string, meaning: string }} Vector */

/** @type {Vector[]} */
const all = JSON.parse(readFileSync(new URL("../../vectors/rtwebsocket.json", import.meta.url), "utf8"));

const messages = all.filter(({ direction }) => direction !== "vlu");

/** RTWebSocket messages. */
export const frames = messages.filter(({ name }) => !/UNKNOWN|MALFORMED/.test(name));
/** What probes sent that is to be refused. */
export const malformed = messages.filter(({ name }) => name.includes("MALFORMED"));
/** What probes sent that is to be ignored. */
export const unknown = messages.filter(({ name }) => name.includes("UNKNOWN"));
/** Numbers. */
export const numbers = all.filter(({ direction }) => direction === "vlu");

/**
 * @param {string} hex
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function bytes(hex) {
	return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function hex(bytes) {
	return Buffer.from(bytes).toString("hex");
}
