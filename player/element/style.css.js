// @ts-check
/** The element's looks. A constructed sheet, so that no content security policy minds. */

export const css = `
:host { display: block; position: relative; aspect-ratio: 16 / 9; overflow: hidden; background: var(--headwater-background, #05080b); color: #fff; --_accent: var(--headwater-accent, #38bdf8); --_live: var(--headwater-live, #f43f5e); font: 400 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; -webkit-tap-highlight-color: transparent; }
:host([hidden]), [hidden] { display: none !important; }
:host(:fullscreen) { width: 100%; height: 100%; max-height: none; border-radius: 0; aspect-ratio: auto; }
.stage { position: absolute; inset: 0; container: stage / size; outline: none; overflow: hidden; border-radius: inherit; user-select: none; -webkit-user-select: none; }
.stage:focus-visible::after { content: ""; position: absolute; inset: 0; border: 3px solid var(--_accent); border-radius: inherit; pointer-events: none; z-index: 6; }
.stage.idle { cursor: none; }
canvas, video, .poster { position: absolute; inset: 0; display: block; width: 100%; height: 100%; object-fit: contain; }
.poster { object-fit: cover; }
.copy { opacity: 0; pointer-events: none; }

.veil { position: absolute; inset: 0; z-index: 1; display: grid; place-content: center; justify-items: center; gap: .5rem; padding: 1rem 1.25rem 3.5rem; text-align: center; pointer-events: none; background: radial-gradient(circle at 50% 42%, #16222fe6, #05080bf0 75%); transition: opacity .2s; }
.veil.over { background: #05080b99; }
.away { container: stage / size; padding-block-end: 1rem; pointer-events: auto; gap: 1rem; }
.veil strong { font-size: clamp(1rem, 3.2cqi, 1.5rem); font-weight: 600; line-height: 1.25; text-wrap: balance; }
.veil p { margin: 0; max-width: 34rem; color: #c3d0db; font-size: clamp(.8rem, 1.9cqi, 1rem); text-wrap: pretty; }
.veil .reason { max-width: 34rem; color: #9fb0bf; font: 12px/1.4 ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; }
.spinner { width: 2.25rem; height: 2.25rem; margin-bottom: .25rem; border-radius: 50%; border: 3px solid #ffffff2e; border-top-color: var(--_accent); animation: spin .9s linear infinite; }
@keyframes spin { to { rotate: 1turn; } }

button { font: inherit; color: inherit; border: 0; margin: 0; cursor: pointer; background: none; touch-action: manipulation; }
:is(button, input):focus-visible { outline: 3px solid var(--_accent); outline-offset: 1px; }
svg { display: block; fill: currentColor; }

.start { position: absolute; inset: 0; z-index: 2; width: 5rem; height: 5rem; margin: auto; padding: 0; display: grid; place-items: center; border-radius: 50%; background: #0b1219c7; backdrop-filter: blur(8px); box-shadow: 0 6px 30px #0008, inset 0 0 0 1px #ffffff24; transition: scale .15s, background .15s; }
.start svg { width: 2.6rem; height: 2.6rem; }
.start:hover { scale: 1.06; background: #0b1219e6; }
.pill { display: flex; align-items: center; gap: .5rem; min-height: 2.75rem; padding: .4rem 1.1rem; border-radius: 2rem; background: #fff; color: #0b1219; font-weight: 600; box-shadow: 0 4px 20px #0007; }
.sound { position: absolute; z-index: 3; inset-block-start: max(.75rem, 3cqb); inset-inline: 0; width: fit-content; margin-inline: auto; padding-inline-start: .85rem; }
.sound svg { width: 1.4rem; height: 1.4rem; }

.bar { position: absolute; z-index: 4; inset: auto 0 0; display: flex; align-items: center; gap: .15rem; padding: 2.75rem .6rem .5rem; background: linear-gradient(#0000, #0000005c 45%, #000000c2); text-shadow: 0 1px 2px #0009; transition: opacity .25s, translate .25s; }
.idle .bar:not(:focus-within) { opacity: 0; translate: 0 .5rem; pointer-events: none; }
.bar button { display: grid; place-items: center; flex: none; width: 2.75rem; height: 2.75rem; border-radius: .65rem; padding: 0; opacity: .94; transition: background .15s; }
.bar button svg { width: 1.6rem; height: 1.6rem; filter: drop-shadow(0 1px 2px #0008); }
.bar button:hover { background: #ffffff2b; opacity: 1; }
.bar button[aria-pressed="true"] { color: var(--_accent); }
.bar .live { display: flex; gap: .5rem; width: auto; padding: 0 .75rem; font-weight: 600; font-size: .85rem; letter-spacing: .02em; white-space: nowrap; }
.live > span:first-child { display: flex; align-items: center; gap: .45rem; text-transform: uppercase; }
.live > span:first-child::before { content: ""; width: .6rem; height: .6rem; border-radius: 50%; background: #93a3b1; }
.live.on > span:first-child::before { background: var(--_live); box-shadow: 0 0 0 0 var(--_live); animation: beat 2.4s ease-out infinite; }
@keyframes beat { 0% { box-shadow: 0 0 0 0 #f43f5e99; } 60%, 100% { box-shadow: 0 0 0 .5rem #f43f5e00; } }
.delay { font-weight: 500; font-variant-numeric: tabular-nums; color: #d5dfe7; letter-spacing: 0; }
.gap { flex: 1; }
.volume { appearance: none; -webkit-appearance: none; width: 5.5rem; height: 2.75rem; margin: 0 .35rem 0 0; background: none; cursor: pointer; border-radius: .5rem; }
.volume::-webkit-slider-runnable-track { height: .3rem; border-radius: 1rem; background: linear-gradient(to right, #fff var(--value), #ffffff59 var(--value)); }
.volume:dir(rtl)::-webkit-slider-runnable-track { background: linear-gradient(to left, #fff var(--value), #ffffff59 var(--value)); }
.volume::-moz-range-track { height: .3rem; border-radius: 1rem; background: #ffffff59; }
.volume::-moz-range-progress { height: .3rem; border-radius: 1rem; background: #fff; }
.volume::-webkit-slider-thumb { -webkit-appearance: none; width: 1rem; height: 1rem; margin-top: -.35rem; border-radius: 50%; background: #fff; box-shadow: 0 1px 4px #0008; }
.volume::-moz-range-thumb { border: 0; width: 1rem; height: 1rem; border-radius: 50%; background: #fff; box-shadow: 0 1px 4px #0008; }

.stats { position: absolute; z-index: 3; inset-block-start: .75rem; inset-inline-start: .75rem; max-width: calc(100% - 1.5rem); max-height: calc(100% - 4.75rem); overflow: auto; box-sizing: border-box; width: 19rem; padding: .7rem .85rem; border-radius: .75rem; background: light-dark(#fffffff0, #0b1219e6); color: light-dark(#16202a, #e6edf3); box-shadow: 0 6px 24px #0006, inset 0 0 0 1px light-dark(#0000001a, #ffffff1f); font-size: 12px; line-height: 1.5; }
.stats dl { display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; margin: 0; }
.stats dt { color: light-dark(#52616f, #9fb0bf); }
.stats dd { margin: 0; text-align: end; font-variant-numeric: tabular-nums; }
.stats svg { width: 100%; height: 2.25rem; margin-top: .4rem; }
.stats polyline { fill: none; stroke: light-dark(#0369a1, var(--_accent)); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.stats .race { margin: .3rem 0 0; color: light-dark(#52616f, #9fb0bf); font-size: 11px; overflow-wrap: anywhere; }
.stats .race:empty { display: none; }

@container stage (width < 30rem) { .volume { display: none; } .bar { padding-inline: .25rem; } .bar button { width: 2.5rem; } .bar .live { width: auto; padding: 0 .25rem; } .start { width: 4rem; height: 4rem; } .stats { width: auto; inset-inline-end: .75rem; } .veil { padding-block-end: 3.25rem; } }
@container stage (width < 20rem) { .delay, .veil p, .veil .reason { display: none; } .bar .live { padding: 0 .4rem; } }
@container stage (height < 15rem) { .veil .reason { display: none; } }
@container stage (height < 12rem) { .veil p, .stats svg, .stats .race { display: none; } .start { width: 3.25rem; height: 3.25rem; } }
@media (pointer: coarse) { .volume { display: none; } }
@media (prefers-reduced-motion: reduce) { *, *::before { transition: none !important; animation: none !important; } .spinner { border-color: var(--_accent); border-style: dotted; } }
@media (forced-colors: active) { .bar, .veil, .stats, .start, .pill { background: Canvas; color: CanvasText; forced-color-adjust: auto; } .live.on > span:first-child::before { background: Highlight; forced-color-adjust: none; } }
`;
