module.exports.process = async function processTrigger() {
  await this.emit('data', { data: { n: 1 } });
  await this.emit('end');
  setTimeout(() => {
    throw new Error('too late to say so');
  }, 20);
};
