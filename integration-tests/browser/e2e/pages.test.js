// @ts-check
/** The pages: for everybody, within their policy, and fast. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Decode } from "../../../player/names.js";
import { browser, firefox, gateway, PATIENCE_MS, publisher, requirePrograms, until, wait } from "./harness.js";

const options = { timeout: 4 * PATIENCE_MS };
const AXE = readFileSync(fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url)), "utf8");
const PAGES = ["/", "/watch/live/test?stats", "/watch/live/nothing", "/embed/live/test", "/compare/live/test", "/player/example.html"];
/** Three times what is aimed at, for machines that do much else. */
const MAX_FIRST_PICTURE_MS = 1500;

before(requirePrograms);

test("axe-core finds nothing serious on any page, light or dark, and no page breaks its own policy", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(http);
	await page.getByText("Nothing is live yet").waitFor();
	await examine(page, "/, where nothing is live");
	publisher(test, `${rtmp}/live/test`);
	for (const [place, path] of PAGES.entries()) {
		await page.emulateMedia({ colorScheme: place % 2 === 0 ? "dark" : "light" });
		await page.goto(http + path);
		const settled = path.includes("/nothing") ? "waiting" : "playing";
		if (path === "/") await page.locator("canvas.drawn").waitFor();
		else if (!path.includes("example")) await until(page, { state: settled });
		await examine(page, path);
	}
	assert.deepEqual(errors, []);
});

test("the keyboard reaches every control in its order, and sees where it is", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/embed/live/test`);
	await until(page, { state: "playing" });
	const names = [];
	for (let stop = 0; stop < 8; stop++) {
		await page.keyboard.press("Tab");
		const { name, isSeen } = await page.evaluate(() => {
			const focused = document.activeElement?.shadowRoot?.activeElement;
			const outlines = focused ? [getComputedStyle(focused).outlineStyle, getComputedStyle(focused, "::after").borderStyle] : [];
			const isShown = focused?.checkVisibility({ opacityProperty: true });
			return { name: focused?.getAttribute("aria-label") ?? focused?.getAttribute("part"), isSeen: isShown && outlines.includes("solid") };
		});
		assert.ok(isSeen, name ?? "nothing");
		names.push(name);
	}
	assert.deepEqual(names, ["Live video player", "Pause", "Mute", "Volume", "live", "Statistics", "Picture in picture", "Full screen"]);
});

test("the first picture is there soon after navigation", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page } = await browser(test, { mayPlaySound: true });
	await page.addInitScript(() => {
		const probe = new OffscreenCanvas(4, 4).getContext("2d", { willReadFrequently: true });
		const look = () => {
			const canvas = document.querySelector("headwater-player")?.shadowRoot?.querySelector("canvas");
			if (canvas && probe) {
				probe.drawImage(canvas, 0, 0, 4, 4);
				if (probe.getImageData(0, 0, 4, 4).data.some((value, i) => i % 4 < 3 && value > 32)) return void (/** @type {any} */ (globalThis).pictureAt = performance.now());
			}
			requestAnimationFrame(look);
		};
		look();
	});
	// The publisher is there, and the gateway has its files ready.
	await page.goto(`${http.replace("http:", "https:")}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 30 });
	await page.reload();
	await wait("a picture", () => page.evaluate(() => /** @type {any} */ (globalThis).pictureAt !== undefined));
	const ms = await page.evaluate(() => /** @type {number} */ (/** @type {any} */ (globalThis).pictureAt));
	test.diagnostic(`first picture ${Math.round(ms)} ms after navigation`);
	assert.ok(ms < MAX_FIRST_PICTURE_MS, `${ms} ms`);
});

test("what is wrong is told: no stream, a stream that ends, a gateway that is gone", options, async (test) => {
	const { rtmp, http, kill } = await gateway(test);
	const { page } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await page.getByText("Nothing is on yet").waitFor();
	const sender = publisher(test, `${rtmp}/live/test`);
	await until(page, { state: "playing" });
	await sender.kill();
	await page.getByText("The stream has ended").waitFor();
	await kill();
	await page.getByText("The gateway can’t be reached").waitFor();
});

test("a stream in a format that is missing here is told, and what would play", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	// Firefox has no H.264 with colours in full.
	publisher(test, `${rtmp}/live/test`, { pixels: "yuv444p" });
	const { page } = await firefox(test);
	for (const decode of [Decode.AUTO, Decode.WEBCODECS]) {
		await page.goto(`${http}/watch/live/test?decode=${decode}`);
		await wait(`the message, by ${decode}`, () => page.evaluate(() => {
			const player = /** @type {any} */ (document.querySelector("headwater-player"));
			return player?.error?.code === MediaError.MEDIA_ERR_DECODE && player.shadowRoot.querySelector(".veil").checkVisibility();
		}));
		const told = await page.evaluate(() => /** @type {any} */ (document.querySelector("headwater-player")).shadowRoot.querySelector(".veil").innerText);
		assert.match(told, /This browser can’t play this stream\n.*H\.264 with AAC plays everywhere/s);
	}
});

/**
 * Fails where axe-core finds something serious.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} what
 */
async function examine(page, what) {
	await page.evaluate(AXE);
	const violations = await page.evaluate(async () => {
		const { violations } = await /** @type {any} */ (globalThis).axe.run(document);
		return violations.filter((/** @type {any} */ { impact }) => impact === "serious" || impact === "critical").map((/** @type {any} */ { id, nodes }) => `${id}: ${nodes.map((/** @type {any} */ { target }) => target)}`);
	});
	assert.deepEqual(violations, [], what);
}
