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
    | os error 1455) | paging file is too small | resource_exhausted | memory exhausted | exceeds the available memory
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
    | w39 | w53 | w55 | w59 | w64 | w67 | w112 | w126 | w127 | w193 | w1114 | w1117 | w1392 | w1450
";

/// Phrases of a file that was damaged or copied in part: a model, unless the node reads a user's file.
pub(super) const CORRUPT_FILE: &str = "
    pytorchstreamreader | finding central directory | archive is corrupted | headertoolarge | headertoosmall
    | metadataincompletebuffer | invalidheader | incomplete metadata | not fully covered | ran out of input
    | invalid magic number | corrupt | unpickling | pickle data was truncated | wrong byte size | unexpected pos
    | not a zip file | checksum | gguf magic | file is truncated | truncated file | unexpected end of file
    | unexpected eof | bad magic | invalid load key | mmap length is greater than file size
";

/// Exceptions of a machine's setup: packages, compilers, permissions, other programs.
pub(super) const ENVIRONMENT_TYPES: &str = "
    ImportError | ModuleNotFoundError | PackageNotFoundError | DistributionNotFound | VersionConflict
    | ProcessLookupError | PermissionError | ChildProcessError | BrokenPipeError | CalledProcessError
    | CompilationError | CompileError | InductorError | BackendCompilerFailed | TritonMissing | PTXASError
    | OutOfResources | LoweringException | GitCommandNotFound | ExecutableNotFound | LocalEntryNotFoundError
    | OfflineModeIsEnabled | GatedRepoError | CUDACompileException
";

/// Phrases of a machine's setup, wherever they stand outside of quoted sentences.
pub(super) const ENVIRONMENT: &str = "
    no module named | cannot import name | failed to import | unable to import | could not import | import failed
    | pip install | apt install | apt-get install | conda install | brew install | not installed | must be installed
    | please install | need to install | needs to be installed | should be installed | is it installed
    | requirements.txt | command not found | not recognized as an internal | on your path | in your path
    | in the path | system path | environment variable | compute capability | not implemented for '
    | with arguments from the | no operator found for | memory_efficient_attention | unexpected keyword argument
    | numpy.dtype size changed | numpy.ufunc size changed | binary incompatibility | numpy.core.multiarray
    | compiled using numpy | compiled against | different cuda major | compilationerror | inductorerror
    | torchdynamo | out of resource: | meta tensor | weights only load failed | ffmpeg subprocess
    | unknown encoder | encoder not found | unrecognized option | codec not currently supported
    | permission denied | access is denied | operation not permitted | being used by another process
    | huggingface.co | is not a local folder | offline mode | local_files_only | name resolution | getaddrinfo
    | certificate verify failed | 'gbk' codec | 'charmap' codec | 'ascii' codec | 'latin-1' codec | 'cp125 | 'cp9
    | exec format error | text file busy
";

/// Errors of Linux (and, with a `w`, of Windows) of permissions, missing programs and the network.
pub(super) const ENVIRONMENT_ERRNOS: &str = "
    1 | 8 | 13 | 26 | 32 | 98 | 99 | 101 | 104 | 110 | 111 | 113 | w5 | w32 | w33 | w182 | w216 | w740 | w1260 | w1314
    | w10048 | w10051 | w10054 | w10060 | w10061 | w11001
";

/// Words by which a message says that a part is missing, too old or unable.
pub(super) const LACKING: &str = "
    not supported | unsupported | not support | n't support | no support | not have support | only support
    | not yet support | not implemented | not currently implemented | not available | n't available | unavailable
    | not compiled | compiled with | not linked | not built | n't built | n't build | not found | not find | n't find
    | unable to find | failed to find | not detected | no device | no gpu | not enabled | is required | are required
    | required for | required to | requires | require | needs | needed | install | too old | outdated | out of date
    | not recognize | incompatible | not compatible | version mismatch | upgrade | downgrade | newer | not defined
    | not exist | failed to load | failed to initialize | failed to compile | compilation failed | not load
    | unable to load | able to be loaded | could not run | only work | not work | not callable | have no support
";

/// Names of backends, devices, data types, packages and programs that machines differ in.
pub(super) const PARTS: &str = "
    mps | cuda | cudnn | cublas | rocm | hip | directml | privateuseone | dml | xpu | npu | mlu | musa | ipex | sycl
    | vulkan | opencl | metal | gpu | gpus | vram | nvidia | amd | intel | ampere | hopper | blackwell | volta | turing
    | triton | xformers | flashattention | sageattention | sageattn | sage_attn | flash_attn | bitsandbytes | bnb
    | deepspeed | apex | torch | pytorch | torchvision | torchaudio | torchao | torchsde | torchcodec | dynamo
    | torch.compile | inductor | numpy | scipy | numba | llvmlite | transformers | diffusers | accelerate | peft
    | tokenizers | sentencepiece | safetensors | onnx | onnxruntime | tensorrt | openvino | tensorflow | tflite | jax
    | opencv | cv2 | pillow | insightface | mediapipe | dlib | ultralytics | pynini | protobuf | pydantic | gguf
    | nunchaku | kornia | spandrel | imageio | pyav | soundfile | librosa | sox | espeak | ffmpeg | ffprobe | avconv
    | gifski | imagemagick | blender | colmap | nvcc | gcc | msvc | compiler | ninja | cmake | git | git-lfs | wsl
    | python | dtype | dtypes | bfloat16 | bf16 | float64 | nvfp4 | mxfp8 | backend | driver | glibc | opengl | egl
    | windows | linux | macos
";

/// Beginnings of such names: `fp8e4nv`, `float8_e4m3fn`.
pub(super) const PARTS_BEGINNING: &str = "fp8 | float8 | fp4 | float4 | gfx1 | gfx9 | flash_attn | sage_attn | cp3";

/// Such names of several words.
pub(super) const PARTS_OF_WORDS: &str = "flash attention | sage attention | tensor core | custom op | shared library";

/// Endings of models, which machines differ in.
pub(super) const MODEL_ENDINGS: &str =
    ".safetensors | .ckpt | .pth | .pt | .onnx | .gguf | .bin | .sft | .engine | .task | .tflite";

/// Errors of a name that the graph gives: too long, or with characters that a file must not have.
pub(super) const TASK_ERRNOS: &str = "36 | w123 | w206";

/// Phrases of an error that the graph or its inputs cause.
pub(super) const TASK: &str = "
    shape | size of tensor | sizes of tensors | size mismatch | dimension | expected scalar type | expected input
    | expected tensor | expected 3d | expected 4d | expected 5d | given groups | input type ( | same dtype
    | dtype mismatch | must have the same dtype | kernel size can | loading state_dict | could not detect model type
    | does not contain a valid | out of range | out of bounds | index out of | cannot reshape | broadcast | must match
    | invalid literal | stride | unauthorized | please login | please log in | insufficient credits | payment required
    | invalid api key | content policy | content_policy | moderation | nsfw | bad request | unsupported format
    | not a valid | is not valid | is required | must be  | missing required | required input | file name too long
    | filename too long
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
