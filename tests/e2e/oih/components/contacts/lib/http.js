const request = require('request-promise-native');

module.exports = function call(cfg, method, path, body) {
  const headers = {};
  if (cfg.apiKey) {
    headers['x-api-key'] = cfg.apiKey;
  }
  const token = cfg.accessToken || (cfg.oauth && cfg.oauth.access_token);
  if (token) {
    headers.authorization = `Bearer ${token}`;
  }
  const auth = cfg.username ? { user: cfg.username, pass: cfg.passphrase } : undefined;
  return request({ method, uri: cfg.server + path, headers, auth, json: true, body });
};
