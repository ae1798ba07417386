// @ts-check
/** The element as pages use it: its attributes, events and keys, from another origin, in controls of others. */

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Decode } from "../../../player/names.js";
import { browser, firefox, gateway, PATIENCE_MS, publisher, requirePrograms, site, until, wait } from "./harness.js";
import { webkit } from "./webkit.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("./harness.js").Page} Page */

const options = { timeout: 4 * PATIENCE_MS };
/** @param {TestContext} test */
const chromium = (test) => browser(test, { mayPlaySound: true });
/** It has sound by Media Source Extensions alone. @param {TestContext} test */
const webkitgtk = (test) => webkit(test, Decode.MSE);

before(requirePrograms);

for (const [name, open, scheme] of /** @type {const} */ ([["Chromium", chromium, "https:"], ["Firefox", firefox, "https:"], ["WebKitGTK", webkitgtk, "http:"]])) {
	test(`${name}: attributes, properties, events and keys are those of media elements`, options, async (test) => {
		const { rtmp, http } = await gateway(test);
		publisher(test, `${rtmp}/live/test`);
		/** @type {Page} */
		const page = (await open(test)).page;
		await page.goto(`${http.replace("http:", scheme)}/player/example.html`);
		await wait("the element", () => page.evaluate(() => customElements.get("headwater-player") !== undefined && document.querySelector("headwater-player")?.getAttribute("src") !== null));
		if (name === "WebKitGTK") await page.evaluate(() => void (/** @type {any} */ (document.querySelector("headwater-player")).decode = "mse"));
		await page.evaluate(() => {
			const player = /** @type {any} */ (document.querySelector("headwater-player"));
			const seen = /** @type {any} */ (globalThis).seen = /** @type {string[]} */ ([]);
			for (const name of ["loadstart", "loadedmetadata", "canplay", "play", "playing", "pause", "timeupdate", "volumechange", "resize", "emptied", "error", "transportchange", "delaychange"]) {
				player.addEventListener(name, () => seen.push(name));
			}
			player.play();
		});
		await until(page, { state: "playing", framesShown: 10, width: 320 });
		await wait("a measured delay", () => page.evaluate(() => /** @type {any} */ (globalThis).seen.includes("delaychange")));
		const playing = await page.evaluate(() => {
			const player = /** @type {any} */ (document.querySelector("headwater-player"));
			const { paused, ended, muted, volume, readyState, duration, videoWidth, error, buffered } = player;
			return { paused, ended, muted, volume, readyState, duration: String(duration), videoWidth, error, buffered: buffered.length, moves: player.currentTime > 0, late: player.delay > 0 };
		});
		assert.deepEqual(playing, { paused: false, ended: false, muted: true, volume: 1, readyState: 4, duration: "Infinity", videoWidth: 320, error: null, buffered: 1, moves: true, late: true });

		const keys = await page.evaluate(() => {
			const player = /** @type {any} */ (document.querySelector("headwater-player"));
			const press = (/** @type {string} */ key) => player.shadowRoot.querySelector(".stage").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, composed: true, cancelable: true }));
			const after = (/** @type {string} */ key) => (press(key), { paused: player.paused, muted: player.muted, volume: player.volume, stats: player.showsStats });
			return [after("k"), after(" "), after("i"), after("I"), after("ArrowUp"), after("ArrowDown"), after("m"), after("x")];
		});
		const base = { paused: false, muted: true, volume: 1, stats: false };
		assert.deepEqual(keys, [
			{ ...base, paused: true },
			base,
			{ ...base, stats: true },
			base,
			{ ...base, muted: false, volume: 0.1 },
			{ ...base, volume: 0 },
			{ ...base, muted: false, volume: 0 },
			{ ...base, muted: false, volume: 0 },
		]);

		const wrong = await page.evaluate(() => {
			const player = /** @type {any} */ (document.querySelector("headwater-player"));
			player.transport = "pigeon";
			player.setAttribute("target-delay", "soon");
			const fallen = [player.transport, player.targetDelay >= 0];
			let thrown = "";
			try {
				player.volume = 2;
			} catch (error) {
				thrown = /** @type {DOMException} */ (error).name;
			}
			player.lang = "ar";
			player.src = "ftp://nowhere/";
			const stage = player.shadowRoot.querySelector(".stage");
			return { fallen, thrown, error: player.error.code, told: player.shadowRoot.querySelector(".veil strong").textContent, dir: stage.dir };
		});
		assert.deepEqual(wrong, { fallen: ["auto", true], thrown: "IndexSizeError", error: 4, told: "لم يُحدَّد بث", dir: "rtl" });
		const seen = new Set(await page.evaluate(() => /** @type {string[]} */ (/** @type {any} */ (globalThis).seen)));
		assert.deepEqual([...seen].toSorted(), ["canplay", "delaychange", "emptied", "error", "loadedmetadata", "loadstart", "pause", "play", "playing", "resize", "timeupdate", "transportchange", "volumechange"]);
	});
}

for (const [name, open] of /** @type {const} */ ([["Chromium", chromium], ["Firefox", firefox]])) {
	test(`${name}: a page of another origin plays it in media-chrome's controls`, options, async (test) => {
		const { rtmp, http } = await gateway(test);
		publisher(test, `${rtmp}/live/test`);
		const address = await site(test, `<!doctype html><html lang="en"><title>elsewhere</title>
			<script type="module" src="/media-chrome/index.js"></script><script type="module" src="${http}/player/element.js"></script>
			<media-controller><headwater-player slot="media" src="${http}/watch/live/test" autoplay muted></headwater-player>
			<media-control-bar><media-play-button></media-play-button><media-mute-button></media-mute-button><media-live-button></media-live-button><media-volume-range></media-volume-range></media-control-bar></media-controller>`);
		/** @type {Page} */
		const page = (await open(test)).page;
		await page.goto(address);
		await until(page, { state: "playing", framesShown: 10 });
		const told = () => page.evaluate(() => {
			const controller = /** @type {Element} */ (document.querySelector("media-controller"));
			return ["mediapaused", "mediamuted", "mediastreamtype", "mediatimeislive"].map((name) => controller.getAttribute(name));
		});
		await wait("a live, playing, muted stream in the controls", async () => (await told()).join() === ",,live,");
		await page.evaluate(() => /** @type {HTMLElement} */ (document.querySelector("media-play-button")).click());
		await until(page, { state: "paused" });
		await wait("the controls to know", async () => (await told())[0] === "");
		await page.evaluate(() => /** @type {HTMLElement} */ (document.querySelector("media-play-button")).click());
		await page.evaluate(() => /** @type {HTMLElement} */ (document.querySelector("media-mute-button")).click());
		await until(page, { state: "playing", muted: false });
	});
}
