// Looks at the page as a reader does, and returns what is wrong with it.
const problems = [];
const root = document.documentElement;

if (root.scrollWidth > root.clientWidth) {
  const wide = [...document.querySelectorAll('body *')].filter(
    (element) => !element.closest('.scroll') && element.getBoundingClientRect().right > root.clientWidth + 1,
  );
  problems.push(`wider than the window: ${root.scrollWidth} > ${root.clientWidth}: ` +
    wide.slice(0, 3).map((element) => `${element.tagName} ${element.textContent.trim().slice(0, 40)}`).join('; '));
}

const loaded = performance.getEntriesByType('resource').map((entry) => entry.name);
if (loaded.length) problems.push(`loaded ${loaded.join(', ')}`);
const active = document.querySelectorAll('script, iframe, object, embed, form, img:not([src^="data:"])');
if (active.length) problems.push(`holds ${[...active].map((element) => element.outerHTML.slice(0, 80)).join(', ')}`);
const handlers = [...document.querySelectorAll('*')].filter((element) =>
  [...element.attributes].some((attribute) => /^on/i.test(attribute.name)));
if (handlers.length) problems.push(`has handlers: ${handlers[0].outerHTML.slice(0, 80)}`);
if (window.owned) problems.push('ran what a model or a user wrote');

// Colours as bytes, whatever notation they are written in.
const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
const context = canvas.getContext('2d', { willReadFrequently: true });
const bytes = (colour) => {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
};
const over = (front, back) => {
  const alpha = front[3] / 255;
  return [0, 1, 2].map((part) => front[part] * alpha + back[part] * (1 - alpha)).concat(255);
};
const ground = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(bytes(getComputedStyle(at).backgroundColor));
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  return layers.reduceRight((back, front) => over(front, back), dark ? [18, 18, 18, 255] : [255, 255, 255, 255]);
};
// Contrast as WCAG 2.2 defines it (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio).
const luminance = (colour) => {
  const [red, green, blue] = [0, 1, 2].map((part) => {
    const value = colour[part] / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const faint = new Set();
for (const element of document.querySelectorAll('body *')) {
  const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!words || !element.getClientRects().length || element.closest('title, desc')) continue;
  const style = getComputedStyle(element);
  const back = ground(element);
  const front = over(bytes(element instanceof SVGElement ? style.fill : style.color), back);
  const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  const size = parseFloat(style.fontSize);
  const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
  if (ratio < least) {
    faint.add(`${element.tagName}.${element.getAttribute('class') ?? ''} ${style.color} at ${ratio.toFixed(2)}`);
  }
}
for (const what of faint) problems.push(`faint: ${what}`);

for (const picture of document.querySelectorAll('svg')) {
  const frame = picture.getBoundingClientRect();
  const texts = [...picture.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
  for (const [words, box] of texts) {
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) {
      problems.push(`outside its picture: ${words}`);
    }
  }
  texts.forEach(([words, box], number) => {
    for (const [others, other] of texts.slice(number + 1)) {
      const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
      const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
      if (across > 1 && down > 3) problems.push(`one on the other: ${words} and ${others}`);
    }
  });
}
return problems;
