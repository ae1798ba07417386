// @ts-check
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { before, test } from "node:test";

import { Decode, Transport } from "../../../player/names.js";
import { binary, browser, firefox, gateway, PATIENCE_MS, publisher, requirePrograms, until } from "./harness.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("./harness.js").Page} Page */

/**
 * What pages of both drivers tell.
 *
 * @typedef {object} Listened
 * @property {(event: "console" | "request", listener: (what: { text: () => string, url: () => string }) => unknown) => unknown} on
 */

const STUDIO = "hunter2-that-stays-the-same";
const SHOP = "hunter2-shared-by-the-gateway-and-its-shop";
const SETTINGS = [
	"authority.publish=closed",
	"authority.view=closed",
	`authority.keys=[{name: studio, secret: "${STUDIO}", paths: ["live/*"], actions: [publish]}]`,
	`authority.tokens=[{name: shop, algorithm: HS256, key: "${SHOP}"}]`,
];

const PLAYS = /** @type {const} */ ([
	["Chromium", Transport.WEBTRANSPORT, Decode.WEBCODECS],
	["Chromium", Transport.WEBSOCKETSTREAM, Decode.MSE],
	["Firefox", Transport.RTWEBSOCKET, Decode.WEBCODECS],
	["Firefox", Transport.WEBSOCKET, Decode.MSE],
]);
const BROWSERS = { Chromium: (/** @type {TestContext} */ test) => browser(test, { mayPlaySound: true }), Firefox: firefox };

before(requirePrograms);

for (const [name, transport, decode] of PLAYS) {
	test(`${name} plays over ${transport} for a token alone, of which nothing is told`, { timeout: 4 * PATIENCE_MS }, async (test) => {
		const { rtmp, http, admin, said } = await gateway(test, { settings: SETTINGS, says: "trace" });
		publisher(test, `${rtmp}/live/test?token=${STUDIO}`);
		const token = mint();
		const { page } = /** @type {{ page: Page & Listened }} */ (/** @type {unknown} */ (await BROWSERS[name](test)));
		/** @type {string[]} */
		const told = [];
		const hosts = new Set();
		page.on("console", (message) => told.push(message.text()));
		page.on("request", (request) => hosts.add(new URL(request.url()).hostname));
		const watch = `${http}/watch/live/test?transport=${transport}&decode=${decode}`;
		await page.goto(watch);
		await until(page, { state: "reconnecting" });
		await page.goto(`${watch}&token=${token}`);
		await until(page, { state: "playing", transport, decode, framesShown: 30 });
		told.push(
			await page.evaluate(() => {
				const player = /** @type {any} */ (document.querySelector("headwater-player"));
				return JSON.stringify([player.stats, player.error, { ...localStorage }, { ...sessionStorage }, document.cookie, document.title]);
			}),
		);
		for (const path of ["/metrics", "/api/v1/streams", "/api/v1/sessions"]) told.push(await (await fetch(admin + path)).text());
		told.push(said());
		assert.match(said(), / DEBUG /);
		assert.doesNotMatch(said(), /lines of the log are lost/);
		assert.match(told.join("\n"), /live\/test/);
		assert.deepEqual([...hosts], [new URL(http).hostname]);
		for (const secret of [STUDIO, SHOP, token.slice(token.lastIndexOf(".") + 1)]) {
			assert.deepEqual(told.flatMap((text) => text.split("\n")).filter((line) => line.includes(secret)), []);
		}
	});
}

function mint() {
	const settings = SETTINGS.flatMap((setting) => ["--set", setting]);
	return execFileSync(binary(), ["token", ...settings, "--path", "live/*", "--action", "view"], { encoding: "utf8" }).trim();
}
