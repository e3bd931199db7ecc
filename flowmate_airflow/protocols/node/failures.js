'use strict';

// What went wrong, in words, and who must act on it: config, transient or system.

const EXIT_CODES = { config: 78, transient: 75, system: 1 };
const MAX_TEXT = 4000;
const MAX_BODY = 500;
const MAX_CAUSES = 4;

const TRANSIENT_CODES = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'ETIMEDOUT', 'ESOCKETTIMEDOUT', 'EPIPE', 'EAI_AGAIN', 'ENOTFOUND',
  'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN', 'ERR_SOCKET_CONNECTION_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_SOCKET',
]);
const CONFIG_CODES = new Set(['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND', 'ERR_REQUIRE_ESM']);

/** A failure of which we know the reason: its text is shown as it is. */
class Failure extends Error {
  constructor(text, failureType) {
    super(text);
    this.name = 'Failure';
    this.failureType = failureType || 'system';
  }
}

function isObject(value) {
  return value !== null && typeof value === 'object';
}

function statusOf(error) {
  const response = isObject(error.response) ? error.response : {};
  const candidates = [error.status, error.statusCode, response.status, response.statusCode, error.code];
  for (const candidate of candidates) {
    const number = typeof candidate === 'string' && /^\d{3}$/.test(candidate) ? Number(candidate) : candidate;
    if (typeof number === 'number' && number >= 100 && number < 600) {
      return number;
    }
  }
  return null;
}

function guessOne(error) {
  if (typeof error.failureType === 'string' && Object.prototype.hasOwnProperty.call(EXIT_CODES, error.failureType)) {
    return error.failureType;
  }
  const status = statusOf(error);
  if (status === 401 || status === 403) {
    return 'config';
  }
  if (status === 429 || status === 408 || (status !== null && status >= 500)) {
    return 'transient';
  }
  if (TRANSIENT_CODES.has(error.code)) {
    return 'transient';
  }
  return CONFIG_CODES.has(error.code) ? 'config' : null;
}

/** Return who must act on an error, from its HTTP status or its code or those of its causes. */
function failureType(error) {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && isObject(current); depth += 1) {
    const guess = guessOne(current);
    if (guess !== null) {
      return guess;
    }
    current = current.cause || (Array.isArray(current.errors) ? current.errors[0] : null);
  }
  return 'system';
}

function clip(text, limit) {
  return text.length > limit ? `${text.slice(0, limit)}… (${text.length - limit} more characters)` : text;
}

function toJson(value) {
  try {
    const text = JSON.stringify(value);
    return text === undefined ? String(value) : text;
  } catch (error) {
    return Object.prototype.toString.call(value);
  }
}

function bodyOf(error) {
  const response = isObject(error.response) ? error.response : {};
  const body = response.data === undefined ? response.body : response.data;
  if (body === undefined || body === null || body === '' || Buffer.isBuffer(body) || (isObject(body) && body.pipe)) {
    return '';
  }
  return ` (the answer: ${clip(typeof body === 'string' ? body : toJson(body), MAX_BODY)})`;
}

function ownText(error) {
  const message = typeof error.message === 'string' ? error.message : toJson(error.message);
  if (error instanceof Failure || !error.name || error.name === 'Error') {
    return message;
  }
  return `${error.name}: ${message}`;
}

function causeText(error) {
  const cause = isObject(error.cause) ? error.cause : Array.isArray(error.errors) ? error.errors[0] : null;
  const text = isObject(cause) && cause.message ? String(cause.message) : '';
  return text && !String(error.message).includes(text) ? `: ${text}` : '';
}

/** Return an error, or whatever was thrown or emitted as one, as text. */
function describe(error) {
  if (error === undefined || error === null) {
    return 'the component gave no reason';
  }
  if (!isObject(error)) {
    return clip(String(error), MAX_TEXT);
  }
  if (error.message === undefined) {
    return clip(toJson(error), MAX_TEXT);
  }
  return clip((ownText(error) || error.code || 'an error without a text') + causeText(error) + bodyOf(error), MAX_TEXT);
}

module.exports = { Failure, failureType, describe, clip, isObject, EXIT_CODES };
