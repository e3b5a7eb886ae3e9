// Makes a whole view accept dropped files.

/** Calls `onFiles(files)` with dropped files. While files are dragged over it, `root` has `data-over`. */
export function acceptDrops(root, scope, onFiles) {
  // Dragged text is left to the fields.
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  const clear = () => delete root.dataset.over;
  scope.listen(root, 'dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    root.dataset.over = '';
  });
  scope.listen(root, 'dragleave', (event) => !root.contains(event.relatedTarget) && clear());
  // In the capture phase, because a field inside may stop the event.
  scope.listen(root, 'drop', clear, true);
  scope.listen(root, 'drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    onFiles([...event.dataTransfer.files]);
  });
  scope.add(clear);
}
