// Icons: 20 × 20, one stroke, in the colour of the text. A meaning is never conveyed by an icon alone.

import { s } from '../../base/dom.js';

const PATHS = {
  overview: 'M3 3h6v7H3zM11 3h6v4h-6zM11 9h6v8h-6zM3 12h6v5H3z',
  tasks: 'M7 5h10M7 10h10M7 15h10M3 5h.01M3 10h.01M3 15h.01',
  workflows: 'M3 4h5v4H3zM12 12h5v4h-5zM12 4h5v4h-5zM8 6h4M14.5 8v4',
  submit: 'M10 3v14M3 10h14',
  instances: 'M3 4h14v5H3zM3 11h14v5H3zM6 6.5h.01M6 13.5h.01',
  files: 'M3 5.5A1.5 1.5 0 0 1 4.5 4H8l2 2.5h5.5A1.5 1.5 0 0 1 17 8v6.5a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 3 14.5z',
  config: 'M4 6h7M15 6h1M4 14h1M9 14h7M13 4v4M7 12v4',
  sun: 'M10 13.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7M10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6 16 16M16 4l-1.4 1.4M5.4 14.6 4 16',
  moon: 'M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z',
  auto: 'M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14',
  language: 'M3 5h8M7 3v2c0 4-2 6.5-4 8M5 8.5c1 2 3 3.5 5 4M9.5 17l3.5-8 3.5 8M10.8 14.2h4.4',
  out: 'M8 4H4v12h4M8 10h9M14 7l3 3-3 3',
  user: 'M10 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6M4 17c0-3.3 2.7-5 6-5s6 1.7 6 5',
  cancel: 'M5 5l10 10M15 5 5 15',
  retry: 'M16 10a6 6 0 1 1-1.8-4.3L16 7.5M16 3v4.5h-4.5',
  edit: 'M4 16l1-4 8-8 3 3-8 8zM11.5 5.5l3 3',
  copy: 'M7 7h9v9H7zM13 7V4H4v9h3',
  upload: 'M10 13V4M6.5 7.5 10 4l3.5 3.5M4 13v3h12v-3',
  trash: 'M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6M8.5 9v4M11.5 9v4',
  open: 'M11 4h5v5M16 4l-7 7M14 11.5V16H4V6h4.5',
  download: 'M10 4v9M6.5 9.5 10 13l3.5-3.5M4 13v3h12v-3',
  left: 'M12 5l-5 5 5 5',
  right: 'M8 5l5 5-5 5',
  alert: 'M10 3 2.5 16.5h15zM10 8v4M10 14.2h.01',
  check: 'M4 10.5l4 4 8-9',
  clock: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14M10 6v4.2l2.6 1.6',
  play: 'M6 4l10 6-10 6z',
  dice: 'M4 4h12v12H4zM7.2 7.2h.01M12.8 7.2h.01M10 10h.01M7.2 12.8h.01M12.8 12.8h.01',
  image: 'M3 4h14v12H3zM7 8.5h.01M3 14l4.5-4 3 2.5L13.5 9l3.5 4',
  video: 'M3 5h10v10H3zM13 9l4-2.5v7L13 11',
  audio: 'M7 15V5l9-1.5v10M7 15a2 2 0 1 1-4 0 2 2 0 0 1 4 0M16 13.5a2 2 0 1 1-4 0 2 2 0 0 1 4 0',
  text: 'M4 5h12M4 9h12M4 13h8',
  file: 'M5 3h6l4 4v10H5zM11 3v4h4',
  search: 'M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12M13.5 13.5 17 17',
  none: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14M5 5l10 10',
};

/** An icon, hidden from screen readers because the text beside it says the same. */
export function icon(name, size = 20) {
  return s(
    'svg',
    { class: 'icon', viewBox: '0 0 20 20', width: size, height: size, 'aria-hidden': 'true', focusable: 'false' },
    s('path', { d: PATHS[name] ?? PATHS.file }),
  );
}

/** The logo. */
export function logo() {
  return s(
    'svg',
    { class: 'logo', viewBox: '0 0 32 32', width: 28, height: 28, 'aria-hidden': 'true' },
    s('rect', { width: 32, height: 32, rx: 8, class: 'logo-ground' }),
    s('path', { d: 'M8 10h6l4 12h6M8 22h6', class: 'logo-line' }),
    s('circle', { cx: 8, cy: 10, r: 2.6, class: 'logo-dot' }),
    s('circle', { cx: 8, cy: 22, r: 2.6, class: 'logo-dot' }),
    s('circle', { cx: 24, cy: 22, r: 2.6, class: 'logo-end' }),
  );
}
