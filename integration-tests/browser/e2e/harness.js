// @ts-check
/** The parts of an end-to-end test: a gateway, a publisher, a browser. Each ends with the test that started it. */

import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, createReadStream, existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";
import { launch } from "puppeteer-core";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const CHROMIUM = "/usr/bin/chromium";
/** What Chromium is told beside what may play sound: nothing that takes its time meanwhile. */
export const CHROMIUM_ARGS = Object.freeze(["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]);
const FIREFOX = "/usr/bin/firefox-esr";
export const WEBKIT = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/webkit2gtk-4.1/MiniBrowser`;
const MEDIA_CHROME = fileURLToPath(new URL("../node_modules/media-chrome/dist/", import.meta.url));
/** How long anything may take to come about, in milliseconds. */
export const PATIENCE_MS = 30_000;

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("playwright-core").Page} ChromiumPage */
/** @typedef {import("../../../player/viewer.js").Stats} Stats */

/**
 * What pages of both drivers can do.
 *
 * @typedef {object} Page
 * @property {(url: string) => Promise<unknown>} goto
 * @property {<T>(script: () => T) => Promise<Awaited<T>>} evaluate
 * @property {(options: { clip: { x: number, y: number, width: number, height: number } }) => Promise<Uint8Array>} screenshot
 */

/**
 * A gateway on free ports.
 *
 * @param {TestContext} test
 * @param {{ websocket?: number, hasUnified?: boolean, settings?: string[], says?: string }} [options] keys of its configuration, and how much
 *   it says
 * @returns {Promise<{ rtmp: string, http: string, admin: string, unified: string, said: () => string, kill: () => Promise<void>, stop: () => void }>}
 *   `stop` ends it in order; `unified` is host and port, if there is one; `said` is its log
 */
export async function gateway(test, { websocket = 0, hasUnified = false, settings = [], says = "info" } = {}) {
	// It keeps its development certificate where it runs.
	const folder = mkdtempSync(join(tmpdir(), "headwater-"));
	const ports = ["rtmp", "quic", "webtransport", "admin"].map((port) => `${port}.address=127.0.0.1:0`);
	ports.push(`websocket.address=127.0.0.1:${websocket}`, "webtransport.fmp4_address=127.0.0.1:0");
	if (hasUnified) ports.push("unified.address=127.0.0.1:0");
	const child = spawn(binary(), ["serve", ...ports.concat(settings).flatMap((setting) => ["--set", setting])], {
		cwd: folder,
		env: { ...process.env, NO_COLOR: "1", RUST_LOG: says },
		stdio: ["ignore", "inherit", "pipe"],
	});
	const kill = () => end(child);
	test.after(async () => {
		await kill();
		rmSync(folder, { recursive: true, force: true });
	});
	let log = "";
	/** @param {string} setting */
	const address = (setting) => new RegExp(`address=(\\S+) setting="?${setting}`).exec(log)?.[1];
	const awaited = ["rtmp.address", "websocket.address", "admin.address", ...(hasUnified ? ["unified.address"] : [])];
	await new Promise((started, failed) => {
		child.stderr.setEncoding("utf8").on("data", (text) => {
			log += text;
			if (process.env.HEADWATER_SAID) appendFileSync(join(process.env.HEADWATER_SAID, `${process.pid}.log`), text);
			if (awaited.every(address)) started(undefined);
		});
		child.once("exit", () => failed(new Error(`the gateway did not start:\n${log}`)));
	});
	const unified = address("unified.address") ?? "";
	return {
		rtmp: `rtmp://${address("rtmp.address")}`,
		http: `http://${address("websocket.address")}`,
		admin: `http://${address("admin.address")}`,
		unified,
		said: () => log,
		kill,
		stop: () => child.kill("SIGTERM"),
	};
}

/**
 * FFmpeg, publishing a moving test picture, 320×180, 300 kbit/s, and a tone.
 *
 * @param {TestContext} test
 * @param {string} url
 * @param {{ silent?: boolean, blind?: boolean, bFrames?: boolean, groupSeconds?: number, pixels?: string }} [options] without sound, without
 *   a picture, with pictures that are shown in another order than they are sent in, seconds between key frames, what FFmpeg calls pixels
 * @returns {{ kill: () => Promise<void> }}
 */
export function publisher(test, url, { silent = false, blind = false, bFrames = false, groupSeconds = 1, pixels = "yuv420p" } = {}) {
	const picture = blind ? [] : ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"];
	const tone = silent ? [] : ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
	const order = bFrames ? ["-preset", "veryfast", "-bf", "2", "-x264-params", "rc-lookahead=0:sync-lookahead=0:b-adapt=0"] : ["-preset", "ultrafast", "-tune", "zerolatency"];
	const video = ["-c:v", "libx264", ...order, "-pix_fmt", pixels, "-g", String(groupSeconds * 30), "-b:v", "250k"];
	const audio = ["-c:a", "aac", "-b:a", "48k"];
	const quiet = ["-nostdin", "-loglevel", "error"];
	const child = spawn("ffmpeg", [...quiet, ...picture, ...tone, ...video, ...audio, "-f", "flv", url], {
		stdio: ["ignore", "inherit", "ignore"],
	});
	const kill = () => end(child);
	test.after(kill);
	return { kill };
}

/**
 * A page of another origin, and media-chrome beside it.
 *
 * @param {TestContext} test
 * @param {string} page
 * @returns {Promise<string>} its address
 */
export async function site(test, page) {
	const server = createServer(({ url = "/" }, response) => {
		const script = /^\/media-chrome\/([\w./-]+\.js)$/.exec(url)?.[1];
		if (!script) return response.setHeader("content-type", "text/html; charset=utf-8").end(page);
		response.setHeader("content-type", "text/javascript");
		createReadStream(MEDIA_CHROME + script).on("error", () => response.writeHead(404).end()).pipe(response);
	});
	await new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(undefined)));
	test.after(() => server.close().closeAllConnections());
	return `http://localhost:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}/`;
}

/**
 * A page in Chromium, and what it complained about.
 *
 * @param {TestContext} test
 * @param {{ mayPlaySound: boolean }} options whether sound may play without anybody having clicked
 * @returns {Promise<{ page: ChromiumPage, errors: string[] }>}
 */
export async function browser(test, { mayPlaySound }) {
	const policy = mayPlaySound ? "no-user-gesture-required" : "document-user-activation-required";
	const running = await chromium.launch({
		executablePath: CHROMIUM,
		args: [...CHROMIUM_ARGS, `--autoplay-policy=${policy}`],
	});
	test.after(() => running.close());
	// The gateway's certificate is one that it made for itself.
	const page = await running.newPage({ ignoreHTTPSErrors: true });
	page.setDefaultTimeout(PATIENCE_MS);
	return { page, errors: complaints(page) };
}

/**
 * A page in Chromium that another one can take the place of, and that can be frozen then, as tabs are: pages of the other driver
 * believe to be seen all the time.
 *
 * @param {TestContext} test
 * @returns {Promise<{ page: import("puppeteer-core").Page, setVisible: (visible: boolean) => Promise<void>, setFrozen: (frozen: boolean) => Promise<void> }>}
 */
export async function tab(test) {
	const running = await launch({ executablePath: CHROMIUM, args: [...CHROMIUM_ARGS, "--autoplay-policy=no-user-gesture-required"] });
	test.after(() => running.close());
	const other = await running.newPage();
	const page = await running.newPage();
	const session = await page.createCDPSession();
	return {
		page,
		setVisible: (visible) => (visible ? page : other).bringToFront(),
		setFrozen: async (frozen) => void (await session.send("Page.setWebLifecycleState", { state: frozen ? "frozen" : "active" })),
	};
}

/**
 * A page in Firefox, and what it complained about.
 *
 * @param {TestContext} test
 * @returns {Promise<{ page: Page, errors: string[] }>}
 */
export async function firefox(test) {
	const running = await launch({
		browser: "firefox",
		executablePath: FIREFOX,
		acceptInsecureCerts: true,
		extraPrefsFirefox: {
			"media.autoplay.default": 0,
			// Without a sound card, sound still takes its time.
			"media.cubeb.force_mock_context": true,
		},
	});
	test.after(() => running.close());
	const page = await running.newPage();
	// A page behind another one is not painted.
	await page.bringToFront();
	page.setDefaultTimeout(PATIENCE_MS);
	return { page, errors: complaints(page) };
}

/**
 * What a page complains about from now on.
 *
 * @param {{ on: (event: any, listener: (what: any) => void) => unknown }} page of either driver
 */
function complaints(page) {
	/** @type {string[]} */
	const errors = [];
	page.on("console", (message) => {
		if (message.type() === "error") errors.push(message.text());
	});
	page.on("pageerror", (error) => errors.push(String(error)));
	return errors;
}

/**
 * The player's state and statistics.
 *
 * @param {Pick<Page, "evaluate">} page
 * @returns {Promise<Partial<Stats> & { muted: boolean }>}
 */
export function stats(page) {
	return page.evaluate(() => {
		const player = /** @type {any} */ (document.querySelector("headwater-player"));
		return { ...player?.stats, state: player?.state, muted: player?.muted };
	});
}

/**
 * Waits until the player's statistics have come so far: members that are numbers are least values.
 *
 * @param {Pick<Page, "evaluate">} page
 * @param {Partial<Stats> & { muted?: boolean }} least
 */
export async function until(page, least) {
	const end = performance.now() + PATIENCE_MS;
	for (;;) {
		// A page that goes to another one has no statistics for a moment.
		const now = /** @type {Record<string, unknown>} */ (await stats(page).catch(() => ({})));
		if (Object.entries(least).every(([name, value]) => (typeof value === "number" ? Number(now[name]) >= value : now[name] === value))) return;
		if (performance.now() > end) throw new Error(`waited for ${JSON.stringify(least)}, there is ${JSON.stringify(now)}`);
		await sleep(100);
	}
}

/**
 * Waits until something is so.
 *
 * @param {string} what
 * @param {() => Promise<boolean>} isSo
 */
export async function wait(what, isSo) {
	for (const end = performance.now() + PATIENCE_MS; !(await isSo()); await sleep(50)) {
		if (performance.now() > end) throw new Error(`waited for ${what}`);
	}
}

/**
 * What is to be seen of the player's picture.
 *
 * @param {Page} page
 * @returns {Promise<Buffer>}
 */
export async function picture(page) {
	const clip = await page.evaluate(() => {
		const root = /** @type {any} */ (document.querySelector("headwater-player")).shadowRoot;
		// Its figures change whatever the picture does.
		root.querySelector(".bar").style.visibility = "hidden";
		const { x, y, width, height } = root.querySelector(":is(canvas, video):not([hidden])").getBoundingClientRect();
		return { x, y, width, height };
	});
	const shot = Buffer.from(await page.screenshot({ clip }));
	await page.evaluate(() => {
		/** @type {any} */ (document.querySelector("headwater-player")).shadowRoot.querySelector(".bar").style.visibility = "";
	});
	return shot;
}

/**
 * Waits as {@link until} does, but without touching the page: what a test driver evaluates counts as a person's click.
 * To be called before the page is opened.
 *
 * @param {ChromiumPage} page
 * @param {Partial<Stats> & { muted?: boolean }} least
 * @returns {Promise<unknown>}
 */
export async function overheard(page, least) {
	await page.addInitScript(() => {
		document.addEventListener("stats", (/** @type {any} */ { detail, target }) => console.debug(JSON.stringify({ ...detail, muted: target.muted })), true);
	});
	return page.waitForEvent("console", (message) => {
		if (message.type() !== "debug") return false;
		const now = JSON.parse(message.text());
		return Object.entries(least).every(([name, value]) => (typeof value === "number" ? now[name] >= value : now[name] === value));
	});
}

/** Fails, saying what to install, where a program is missing. */
export function requirePrograms() {
	const missing = [];
	if (!existsSync(CHROMIUM)) missing.push("chromium");
	if (!existsSync(FIREFOX)) missing.push("firefox-esr");
	if (!existsSync(WEBKIT)) missing.push("libwebkit2gtk-4.1-0 gstreamer1.0-libav gstreamer1.0-plugins-good gstreamer1.0-plugins-bad");
	if (spawnSync("Xvfb", ["-help"]).error) missing.push("xvfb");
	if (spawnSync("ffmpeg", ["-version"]).error) missing.push("ffmpeg");
	if (missing.length > 0) throw new Error(`missing programs; run: sudo apt-get install -y ${missing.join(" ")}`);
}

/** Where the gateway's program is. */
export function binary() {
	const given = process.env.HEADWATER_BIN;
	if (given) return given;
	const built = join(ROOT, "target/debug/headwater");
	if (!existsSync(built)) throw new Error("there is no gateway; run: cargo build");
	return built;
}

/**
 * Kills a process, and waits until it's gone.
 *
 * @param {import("node:child_process").ChildProcess} child
 */
export async function end(child) {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const gone = new Promise((done) => child.once("exit", done));
	child.kill("SIGKILL");
	await gone;
}
