// An input of a workflow as the instances declare it: what it takes, within which bounds, with which choices. Pure, but for words.

import { t } from '../../base/i18n.js';

/** Beyond this a bound is the type's own, and tells a person nothing. */
const TELLING = 1e12;
const TEXTS = ['line', 'text', 'file'];

/** `input` with its `kind` corrected and `said`, its declaration; as it was guessed where it is not declared, or holds something else. */
export function refine(input, said) {
  if (!said || said.link || input.fileId) return input;
  const kind = kindOf(input, said);
  return kind ? { ...input, kind, said } : input;
}

function kindOf({ kind }, { type, upload, options, multiline, seed }) {
  const isText = TEXTS.includes(kind);
  const isNumber = kind === 'number' || kind === 'seed';
  if (isText && upload) return 'file';
  if (options?.length && (isText || isNumber || kind === 'boolean')) return 'choice';
  if (isText && type === 'STRING' && kind !== 'file') return multiline ? 'text' : 'line';
  if (isNumber && (type === 'INT' || type === 'FLOAT')) return seed ? 'seed' : 'number';
  return kind === 'boolean' && type === 'BOOLEAN' ? 'boolean' : null;
}

/** Bounds and default in a few words, or `''`. */
export function hintOf({ kind, said }) {
  if (!said || kind !== 'number') return '';
  const isTelling = (bound) => bound !== undefined && Math.abs(bound) < TELLING;
  const { min, max } = said;
  const range = isTelling(min)
    ? isTelling(max)
      ? t('hint.range', { min, max })
      : t('hint.least', { min })
    : isTelling(max)
      ? t('hint.most', { max })
      : '';
  return [range, said.default !== undefined && t('hint.default', { value: said.default })].filter(Boolean).join(' · ');
}

/** Why a number that a person typed is none that an instance takes, or `null`. */
export function numberFault(text, { type, min, max } = {}) {
  if (type === 'INT' && !/^-?\d+$/.test(text)) return t('field.whole');
  if (min !== undefined && Number(text) < min) return t('field.least', { min });
  if (max !== undefined && Number(text) > max) return t('field.most', { max });
  return null;
}
