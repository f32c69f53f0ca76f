// Widgets stand in sandboxed iframes: they tell how high they are, and are told whether the page is light or dark.
(() => {
  const frames = () => [...document.querySelectorAll('iframe.ecgen-widget')];
  const theme = () => {
    const set = document.body.dataset.theme;
    return set === 'light' || set === 'dark' ? set : matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  };
  const tell = (frame) => frame.contentWindow.postMessage({ ecgenTheme: theme() }, '*');
  addEventListener('message', (e) => {
    const frame = frames().find((f) => f.contentWindow === e.source);
    if (!frame) return;
    if (Number.isFinite(e.data?.ecgenHeight)) frame.style.height = `${Math.min(4000, Math.max(120, e.data.ecgenHeight + 4))}px`;
    tell(frame);
  });
  addEventListener('DOMContentLoaded', () => {
    frames().forEach((f) => { tell(f); f.addEventListener('load', () => tell(f)); });
    new MutationObserver(() => frames().forEach(tell)).observe(document.body, { attributeFilter: ['data-theme'] });
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => frames().forEach(tell));
})();
