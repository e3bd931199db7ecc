module.exports.process = function processTrigger() {
  this.logger.info('hanging now');
  setInterval(() => {}, 1000);
  return new Promise(() => {});
};
