// @ts-check
/** The element's looks. A constructed sheet, so that no content security policy minds. */

export const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host { display: block; position: relative; background: #000; color: #fff; font: 14px/1.4 system-ui, sans-serif; overflow: hidden; aspect-ratio: 16 / 9; }
:host([hidden]) { display: none; }
canvas, video { display: block; width: 100%; height: 100%; object-fit: contain; }
[hidden] { display: none; }
.message { position: absolute; inset: 0 0 3rem; display: grid; place-content: center; text-align: center; padding: 1rem; font-size: 1.1rem; text-shadow: 0 1px 3px #000; pointer-events: none; }
.message:empty { display: none; }
.bar { position: absolute; inset: auto 0 0; display: flex; align-items: center; gap: .5rem; padding: .5rem .75rem; background: linear-gradient(transparent, #000b); }
button { font: inherit; color: inherit; background: #fff2; border: 0; border-radius: .4rem; padding: .35rem .75rem; min-width: 4.5rem; cursor: pointer; }
button:hover { background: #fff4; }
button:focus-visible { outline: 2px solid #6cf; outline-offset: 2px; }
.stats { margin-inline-start: auto; font-size: .8rem; font-variant-numeric: tabular-nums; opacity: .85; text-shadow: 0 1px 2px #000; }
`);
