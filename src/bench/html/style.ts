/** How the page looks, on light and on dark. */
export const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #5c6670; --paper: #fff; --rule: #d7dce1; --band: #f4f6f8;
  --c0: #0b62c4; --c1: #c2410c; --c2: #15803d; --c3: #7c3aed; --c4: #b91c5c; --c5: #0e7490; --c6: #8a6100; --c7: #4b5563; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --faint: #a0a9b2; --paper: #14171a; --rule: #343a41; --band: #1d2126;
  --c0: #6cb0ff; --c1: #ff9466; --c2: #6fd08c; --c3: #b99cff; --c4: #ff8ab8; --c5: #5cc8e0; --c6: #e0b84c; --c7: #b4bcc5; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } p, dl { max-width: 48rem; }
dt { color: var(--faint); } dd { margin: 0 0 .5rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1.5rem; }
figure { margin: 0; max-width: 44rem; } figcaption { font-weight: 600; margin-bottom: .3rem; }
svg.chart { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; } svg .tick { fill: var(--faint); }
.grid { stroke: var(--rule); stroke-width: 1; } .axis { stroke: var(--faint); fill: none; }
.line, .bound { fill: none; stroke: currentColor; stroke-width: 2; } .bound { stroke-dasharray: 6 4; } .spread { stroke: currentColor; stroke-width: 1.5; opacity: .7; }
.mark { fill: currentColor; stroke: var(--paper); stroke-width: 1; }
${Array.from({ length: 8 }, (_, index) => `.c${index} { color: var(--c${index}); }`).join(" ")}
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; margin: .5rem 0; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); } th { background: var(--band); }
th.text, td.text { text-align: left; } td.text { white-space: normal; } td.text:first-child { min-width: 9rem; }
details { margin: .8rem 0; } details > .charts { margin-top: .8rem; grid-template-columns: minmax(0, 44rem); } summary { cursor: pointer; font-weight: 600; } .note { color: var(--faint); margin: .3rem 0; }
`.trim();
