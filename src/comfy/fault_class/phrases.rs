//! Words by which errors of PyTorch, its backends, drivers and the operating system are recognised; lower case, except
//! for the names of exceptions. Each list is one text, separated by `|`.

/// Accelerators and their libraries, as they begin an error: `CUDA error: …`.
pub(super) const ACCELERATORS: &str = "
    cuda | cudnn | cublas | cublaslt | cusolver | cusparse | cufft | curand | cutlass | nccl | nvml | nvrtc | nvidia
    | hip | rocm | rocblas | miopen | hipblas | rccl | xpu | sycl | level zero | level_zero | oneapi | onednn | npu
    | acl | hccl | mps | metal | directml | dml | musa | mlu | opencl | vulkan | tensorrt | gpu | driver | device
    | accelerator | triton
";

/// Exceptions that describe a value: the task's fault, unless the message begins as an error of a machine does.
pub(super) const ORDINARY_TYPES: &str = "
    ValueError | KeyError | TypeError | IndexError | AttributeError | NameError | UnboundLocalError
    | ZeroDivisionError | AssertionError | NotImplementedError | UnicodeDecodeError | UnicodeEncodeError
    | JSONDecodeError | StopIteration | RecursionError | OverflowError | FloatingPointError | ArithmeticError
    | LookupError | SyntaxError | ValidationError | LinAlgError
";

/// Other exceptions that are the task's fault.
pub(super) const TASK_TYPES: &str = "
    UnidentifiedImageError | DecompressionBombError | DependencyCycleError | NodeInputError | NodeNotFoundError
    | ExecutionBlocked | IsADirectoryError | NotADirectoryError | FileExistsError
";

/// Beginnings of the names of exceptions that are the machine's fault.
pub(super) const MACHINE_TYPES: &str = "
    AcceleratorError | CudaError | CUDAError | CUDARuntimeError | CUDADriverError | CuDNNError | CUBLASError
    | SafetensorError | NVMLError | NcclError | NCCLError | DistBackendError | HIPError | HipError | XPUError
    | UnpicklingError
";

/// Phrases of an exhausted memory.
pub(super) const MEMORY: &str = "
    ran out of memory | allocation on device | status_alloc_failed | cudaerrormemoryallocation
    | cuda_error_out_of_memory | hiperroroutofmemory | out_of_device_memory | out_of_host_memory | out_of_memory
    | out_of_resources | defaultcpuallocator | alloc_cpu | allocate memory | could not allocate tensor
    | unable to allocate | failed to allocate | failed to alloc | not enough memory | not enough gpu | not enough vram
    | insufficient memory | insufficient vram | insufficient gpu | bad_alloc | bad allocation | memory allocation fail
    | memory allocation error | invalid buffer size | [errno 12] | [winerror 1455] | [winerror 8] | os error 12)
    | paging file is too small | resource_exhausted | memory exhausted | exceeds the available memory
    | exceeded memory limit | unable to find a valid cudnn algorithm
";

/// Phrases of a broken machine, wherever they stand.
pub(super) const MACHINE: &str = "
    cudnn_status_ | cublas_status_ | cusolver_status_ | cusparse_status_ | cufft_ | curand_status_ | cudagetdevicecount | cudaerror
    | cuda_error_ | hiperror | hip_error_ | miopenstatus | rocblas_status | hipblas_status | ncclsystemerror
    | ncclinternalerror | ncclunhandled | ncclremoteerror | nccl error | nccl failure | nvml | ur_result_error
    | pi_error_ | ze_result_error | device-side assert | no kernel image is available | illegal memory access
    | an illegal instruction | misaligned address | unspecified launch failure | launch timed out | launch failure
    | uncorrectable | ecc error | nvlink error | device lost | device_lost | device has been lost | device removed
    | device_removed | device hung | device_hung | gpu hang | gpu is lost | fallen off the bus
    | no cuda gpus are available | no cuda-capable device | no hip gpus are available | no xpu devices are available
    | no nvidia driver | driver on your system is too old | driver version | driver/library
    | driver initialization failed | failed to initialize driver | driver shutting down | cuda unknown error
    | not compiled with cuda | not compiled with xpu | not compiled with mps | devices are busy | busy or unavailable
    | invalid device ordinal | invalid device function | unsupported toolchain | system not yet initialized | mig-
    | command buffer exited | command buffer execution failed | iogpucommandbuffer | dxgi_error
    | lost connection to the gpu | deserialize the cuda | expandable_segments | graphics device
    | cannot open shared object file | undefined symbol | dll load failed | glibcxx_ | version `glibc_
    | wrong elf class | cannot load library | could not load library | unable to load any of
    | could not load dynamic library | invalid elf header | library not loaded | symbol not found
    | no space left on device | not enough space on the disk | not enough space on device | disk is full
    | disk quota exceeded | input/output error | i/o error | read-only file system | too many open files
    | stale file handle | stale nfs file handle | structure needs cleaning | transport endpoint is not connected
    | host is down | no such device | start new thread | resource temporarily unavailable | bus error
    | segmentation fault | disk image is malformed | failed writing file | network name is no longer available
    | network path was not found | device is not ready | no locks available | mig device | mig mode
";

/// Errors of Linux (and, with a `w`, of Windows) that a disk, a mount or a limit of the machine causes.
pub(super) const MACHINE_ERRNOS: &str = "
    5 | 6 | 11 | 19 | 23 | 24 | 28 | 30 | 37 | 52 | 74 | 107 | 112 | 116 | 117 | 121 | 122 | 124 | w19 | w21 | w23
    | w39 | w53 | w55 | w59 | w64 | w67 | w112 | w126 | w127 | w1114 | w1117 | w1392
";

/// Phrases of a file that was damaged or copied in part: a model, unless the node reads a user's file.
pub(super) const CORRUPT_FILE: &str = "
    pytorchstreamreader | finding central directory | archive is corrupted | headertoolarge | headertoosmall
    | metadataincompletebuffer | invalidheader | incomplete metadata | not fully covered | ran out of input
    | invalid magic number | corrupt | unpickling | pickle data was truncated | wrong byte size | unexpected pos
    | not a zip file | checksum | gguf magic | file is truncated | truncated file | unexpected end of file
    | unexpected eof | bad magic | invalid load key | mmap length is greater than file size
";

/// Phrases of an error that the graph or its inputs cause.
pub(super) const TASK: &str = "
    shape | size of tensor | sizes of tensors | size mismatch | dimension | expected scalar type | expected input
    | expected tensor | expected 3d | expected 4d | expected 5d | given groups | input type ( | same dtype
    | dtype mismatch | must have the same dtype | kernel size can | loading state_dict | could not detect model type
    | does not contain a valid | out of range | out of bounds | index out of | cannot reshape | broadcast | must match
    | invalid literal | stride | unauthorized | please login | please log in | insufficient credits | payment required
    | invalid api key | content policy | content_policy | moderation | nsfw | bad request | unsupported format
    | not a valid | is not valid | is required | must be  | missing required
";

/// Parts of the names of classes that read files which users give.
pub(super) const USER_FILES: &str = "
    loadimage | imageload | load_image | loadvideo | videoload | load_video | loadaudio | load_audio | loadmask
    | load3d | load_3d | loadtext | loadlatent | image load | load image | load video | load audio | loadgif | loadcsv
    | loadjson | loadfrompath | image_from | imagefrom
";

/// Endings of files that users give.
pub(super) const MEDIA_ENDINGS: &str = "
    .png | .jpg | .jpeg | .webp | .gif | .bmp | .tif | .exr | .mp4 | .mov | .webm | .mkv | .avi | .wav | .mp3
    | .flac | .ogg | .txt | .json | .csv | .obj | .glb | .latent | .zip | .pdf | .svg
";

/// Returns the phrases of a list.
pub(super) fn each(list: &str) -> impl Iterator<Item = &str> {
    list.split('|').map(str::trim)
}
