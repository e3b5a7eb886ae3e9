// Files may be dropped anywhere on a view.

/** `take(files)` gets what was dropped; while files hover, `root` has `data-over`. */
export function dropAnywhere(root, scope, take) {
  // A text that is dragged into a field is none of ours.
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  const leave = () => delete root.dataset.over;
  scope.listen(root, 'dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    root.dataset.over = '';
  });
  scope.listen(root, 'dragleave', (event) => !root.contains(event.relatedTarget) && leave());
  // Also when a field within takes the drop for itself.
  scope.listen(root, 'drop', leave, true);
  scope.listen(root, 'drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  scope.add(leave);
}
