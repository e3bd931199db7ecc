const axios = require('axios');

module.exports = async function verify(cfg) {
  this.logger.info('asking');
  const answer = await axios.get(`${cfg.server}/me`, { headers: { 'x-key': cfg.apiKey } });
  return answer.data.active;
};
